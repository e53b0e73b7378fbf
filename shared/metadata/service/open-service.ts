import { createQueues } from '../../azure/queues.ts'
import type { StorageAccount } from '../../azure/storage-account.ts'
import { parseDatabaseTarget } from '../../config/database-target.ts'
import type { Environment } from '../../config/environment.ts'
import { parseServiceSettings } from '../../config/metadata-settings.ts'
import { secretsOf } from '../../config/secrets.ts'
import { logLevel } from '../../config/settings.ts'
import { hasStorage, parseStorageAccount } from '../../config/storage-setting.ts'
import { ConfigError } from '../../errors.ts'
import { createHttpClient } from '../../http/client.ts'
import { systemNow } from '../../instant.ts'
import { type IoHook, withoutHook } from '../../io-hook.ts'
import { createLog, type Log, type LogSink } from '../../log/log.ts'
import { databaseConnection } from '../../postgres/connection.ts'
import { openDatabase } from '../../postgres/database.ts'
import { createAuthenticator } from '../access/authenticate.ts'
import { createTokenBudgets } from '../access/budget.ts'
import { KINDS } from '../model/kinds.ts'
import { queueBus } from '../outbox/bus.ts'
import { createNameBook } from '../postgres/names.ts'
import { openPostgresRepository } from '../postgres/repository.ts'
import { kindBook, openKindRegistry } from '../registry/registry.ts'
import { createMetadataService, type MetadataService } from './metadata-service.ts'

export type OpenedService = {
  readonly service: MetadataService
  /** A log of the same settings for the lines of one invocation. */
  readonly logTo: (sink: LogSink) => Log
  readonly close: () => Promise<void>
}

const CONNECTIONS_MAX = 2
const REQUEST_TIMEOUT_MS = 10_000
const HTTP_TRIES_MAX = 2

/**
 * The service of a process, on the metadata's database alone: neither the lake nor a provider is needed. Where the
 * ingests' database and the queues are its neighbours, it waits for their outbox and tells who follows the feed.
 * Throws ConfigError with every problem of the settings.
 */
export function openMetadataService(env: Environment, sink: LogSink, hook: IoHook = withoutHook): OpenedService {
  const { place, entra, tokenEnvironment, own, queueStorage, level } = readSettings(env)
  const logTo = (to: LogSink) => createLog({ sink: to, level, secrets: secretsOf(env) })
  const log = logTo(sink)
  const open = (target: NonNullable<typeof own>, applicationName: string) =>
    openDatabase({ connection: databaseConnection(target), connectionsMax: CONNECTIONS_MAX, applicationName }, hook)
  const ownDb = own && open(own, 'tributary metadata api')
  const db = place.database === null ? ownDb : open(place.database, 'tributary metadata api')
  if (!db) throw new ConfigError(['METADATA_DATABASE_URL: expected an address, or DATABASE_URL, got neither'])
  const registry = openKindRegistry({ db, builtin: KINDS })
  const kinds = kindBook(registry)
  const names = createNameBook()
  const budgets = createTokenBudgets(db)
  const http = createHttpClient({ hook, timeoutMs: REQUEST_TIMEOUT_MS, triesMax: HTTP_TRIES_MAX })
  const bus = queueStorage && queueBus({ queues: createQueues({ account: queueStorage, hook }), log })
  const service = createMetadataService({
    db,
    outboxDb: ownDb ?? null,
    repositoryOf: (tenant) => openPostgresRepository({ store: { db, names, kinds }, environment: { tenant } }),
    kinds,
    registry,
    authenticate: createAuthenticator({ db, clock: systemNow, tokenEnvironment, entra, http, budgets }),
    budgets,
    tokenEnvironment,
    announce: bus === undefined ? async () => undefined : bus.announce,
    log,
    clock: systemNow,
  })
  return {
    service,
    logTo,
    async close() {
      await db.close()
      if (ownDb && ownDb !== db) await ownDb.close()
    },
  }
}

function readSettings(env: Environment) {
  const problems: string[] = []
  const report = (problem: string) => void problems.push(problem)
  const settings = parseServiceSettings(env, report)
  const own = env.DATABASE_URL || env.PGHOST ? parseDatabaseTarget(env, report) : undefined
  const queueStorage: StorageAccount | undefined = hasStorage(env, 'AzureWebJobsStorage')
    ? parseStorageAccount(env, 'AzureWebJobsStorage', report)
    : undefined
  const level = logLevel(env, report)
  if (problems.length > 0 || settings === undefined) throw new ConfigError(problems)
  return { ...settings, own, queueStorage, level }
}

let shared: OpenedService | undefined

/** The process's service, with the log of one invocation. */
export function invocationService(sink: LogSink): { readonly service: MetadataService; readonly log: Log } {
  shared ??= openMetadataService(process.env, sink)
  return { service: shared.service, log: shared.logTo(sink) }
}
