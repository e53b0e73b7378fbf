import { hostname } from 'node:os'
import { type BlobContainer, openContainer } from './azure/blobs.ts'
import { createQueues, type Queues } from './azure/queues.ts'
import { azureCredential } from './azure/storage-account.ts'
import type { Environment } from './config/environment.ts'
import {
  parseSettings,
  type Settings,
  type SourceSettings,
  sourceSettings,
  type TelemetrySettings,
} from './config/settings.ts'
import { createHttpClient } from './http/client.ts'
import type { HttpClient } from './http/exchange.ts'
import { type IoHook, withoutHook } from './io-hook.ts'
import { createLog, type Log, type LogSink } from './log/log.ts'
import { createTelemetry, type Telemetry } from './log/telemetry.ts'
import { type Metadata, openMetadata } from './metadata/metadata.ts'
import { type MetadataBus, queueBus } from './metadata/outbox/bus.ts'
import { rawWithArchive } from './metadata/retention/raw-archive.ts'
import { databaseConnection } from './postgres/connection.ts'
import { type Database, openDatabase } from './postgres/database.ts'
import type { ProviderSource, Source } from './sources/contract.ts'
import { createRateBudgets, type RateBudgets } from './sources/rate-budget.ts'
import { SOURCES } from './sources/registry.ts'

/** Everything that a unit of work needs, opened once per process. Nothing connects before it is first used. */
export type Platform = {
  readonly settings: Settings
  readonly db: Database
  /** Files dropped by others, as they are. */
  readonly landing: BlobContainer
  /** Pages that were archived are found where they were. */
  readonly raw: BlobContainer
  readonly curated: BlobContainer
  readonly queues: Queues
  readonly metadata: Metadata
  /** Tells that an ingest has told something. */
  readonly bus: MetadataBus
  readonly http: HttpClient
  readonly budgets: RateBudgets
  readonly log: Log
  readonly sources: ReadonlyMap<string, Source>
  readonly sourceSettings: (source: ProviderSource) => SourceSettings
  /** Where this process runs: a Functions instance, a job's replica, a local data folder. */
  readonly instance: string
  /** Names this process in claims and logs: instance and process id. */
  readonly worker: string
  readonly close: () => Promise<void>
}

export type PlatformOptions = {
  readonly env: Environment
  readonly sink: LogSink
  readonly hook?: IoHook
  readonly sources?: ReadonlyMap<string, Source>
}

/** Connections of one process: instances x this must fit what the server allows. */
export const CONNECTIONS_MAX = 2
const REQUEST_TIMEOUT_MS = 60_000
const HTTP_TRIES_MAX = 3

/** Throws ConfigError with every problem of the settings. */
export function openPlatform({ env, sink, hook: given, sources = SOURCES }: PlatformOptions): Platform {
  const settings = parseSettings(env)
  const telemetry = settings.telemetry && openTelemetry(settings.telemetry)
  const hook = given ?? telemetry?.hook ?? withoutHook
  const log = createLog({ sink, level: settings.logLevel, secrets: settings.secrets })
  const db = openDatabase(
    {
      connection: databaseConnection(settings.database),
      connectionsMax: CONNECTIONS_MAX,
      applicationName: 'tributary',
    },
    hook,
  )
  const instance = env.TRIBUTARY_INSTANCE || env.WEBSITE_INSTANCE_ID || hostname()
  const container = (name: string) => openContainer({ account: settings.lakeStorage, container: name, hook })
  const queues = createQueues({ account: settings.hostStorage, hook })
  const metadata = openMetadata({ settings: settings.metadata, own: db, lakeStorage: settings.lakeStorage, hook, log })
  return {
    settings,
    db,
    landing: container('landing'),
    raw: rawWithArchive(container('raw'), container('archive')),
    curated: container('curated'),
    queues,
    metadata,
    bus: queueBus({ queues, log }),
    http: createHttpClient({ hook, timeoutMs: REQUEST_TIMEOUT_MS, triesMax: HTTP_TRIES_MAX }),
    budgets: createRateBudgets(),
    log,
    sources,
    sourceSettings: (source) => sourceSettings(env, source),
    instance,
    worker: `${instance}/${process.pid}`,
    async close() {
      await metadata.close()
      await db.close()
      await telemetry?.flush()
    },
  }
}

function openTelemetry({ connectionString, clientId }: TelemetrySettings): Telemetry {
  return createTelemetry({
    connectionString,
    credential: clientId === undefined ? undefined : () => azureCredential(clientId),
  })
}

/** Transform version of every source that this process knows: claims are refused where it is too old. */
export function transformVersions(platform: Platform): Readonly<Record<string, number>> {
  return Object.fromEntries([...platform.sources.values()].map((source) => [source.id, source.transformVersion]))
}

let shared: Platform | undefined

/** The process's platform with a log of its own: what a function's invocation works with. */
export function invocationPlatform(sink: LogSink): Platform {
  shared ??= openPlatform({ env: process.env, sink })
  const { logLevel, secrets } = shared.settings
  return { ...shared, log: createLog({ sink, level: logLevel, secrets }) }
}
