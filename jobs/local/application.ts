import { randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { CONTAINERS, QUEUES, TABLES } from '../../shared/config/storage-names.ts'
import { expireOwnLeases } from '../../shared/ingest/sweep.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import type { LogSink } from '../../shared/log/log.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { databaseConnection } from '../../shared/postgres/connection.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { findEntryFiles } from './functions-host/entry-files.ts'
import { type FunctionsHost, startFunctionsHost } from './functions-host/host.ts'
import { hostLogTo } from './host-log.ts'
import { chooseProvider } from './provider-choice.ts'
import { announceServices } from './services.ts'
import { startStack } from './stack/stack.ts'

/** The repository's root: host.json, package.json and the streams files lie there. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** A message whose handler was killed comes back after this; the real host's lock is 600 s. */
const MESSAGE_LOCK_SECONDS = 30

export type Application = {
  readonly platform: Platform
  readonly host: FunctionsHost
  /** Aborted when a server of the stack ended by itself. */
  readonly lost: AbortSignal
  readonly stop: () => Promise<void>
}

export type ApplicationOptions = {
  readonly dataDir: string
  readonly port: number
  readonly timers: 'scheduled' | 'manual'
  readonly sink: LogSink
  /** One line per step, for the person who waits. */
  readonly report: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Everything on this machine: PostgreSQL and storage (embedded unless `DATABASE_URL` and `AzureWebJobsStorage` name
 * others), the provider, and the compiled functions in the local host. What a killed run left is taken up at once: the
 * data folder has one owner.
 */
export async function startApplication(options: ApplicationOptions): Promise<Application> {
  const { dataDir, port, timers, sink, report, signal } = options
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const step of stops.splice(0).reverse()) await step()
  }
  try {
    await mkdir(dataDir, { recursive: true })
    const provider = await chooseProvider(process.env)
    stops.push(provider.stop)
    report(`provider    ${provider.description}`)
    const { settings, lost } = await openStack(options, stops)
    Object.assign(process.env, settings, provider.settings, { TRIBUTARY_INSTANCE: await instanceId(dataDir) })
    stops.push(await announceServices(dataDir, { ...settings, ...provider.settings }))

    const platform = openPlatform({ env: process.env, sink })
    stops.push(platform.close)
    const { database, metadata } = platform.settings
    const migrated = [...(await migrate(databaseConnection(database)))]
    const elsewhere = metadata.place.kind === 'postgres' ? metadata.place.database : null
    if (elsewhere !== null) migrated.push(...(await migrate(databaseConnection(elsewhere))))
    if (migrated.length > 0) report(`migrated    ${migrated.join(', ')}`)
    for (const container of CONTAINERS)
      await openContainer({ account: platform.settings.lakeStorage, container, hook: withoutHook }).ensure()
    for (const queue of QUEUES.flatMap((name) => [name, `${name}-poison`])) await platform.queues.ensure(queue)
    for (const table of TABLES) await openTable({ account: platform.settings.lakeStorage, table }).ensure()
    await expireOwnLeases(platform)

    signal.throwIfAborted()
    const host = await startFunctionsHost({
      entryFiles: await findEntryFiles(join(ROOT, 'package.json')),
      hostJsonPath: join(ROOT, 'host.json'),
      settings: {},
      queues: platform.queues,
      port,
      dataDir,
      log: hostLogTo(sink),
      timers,
      lockSeconds: MESSAGE_LOCK_SECONDS,
    })
    stops.push(() => host.stop({ graceMs: 10_000 }))
    report(`functions   ${namesOf(host.functions)}`)
    return { platform, host, lost, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The routes of the metadata service are functions of their own, and too many to be read. */
function namesOf(functions: readonly string[]): string {
  const own = functions.filter((name) => !name.startsWith('metadata-'))
  const routes = functions.length - own.length
  return `${own.join(', ')}, and ${routes} routes of the metadata service`
}

async function openStack({ dataDir, report, signal }: ApplicationOptions, stops: (() => Promise<void>)[]) {
  const { DATABASE_URL, PGHOST, AzureWebJobsStorage } = process.env
  if ((DATABASE_URL || PGHOST) && AzureWebJobsStorage) {
    report('services    those of DATABASE_URL and AzureWebJobsStorage')
    return { settings: {}, lost: new AbortController().signal }
  }
  const stack = await startStack({ dataDir, signal, log: (line) => report(`services    ${line}`) })
  stops.push(stack.stop)
  const database = DATABASE_URL || PGHOST ? {} : { DATABASE_URL: stack.databaseUrl }
  const storage = AzureWebJobsStorage ? {} : { AzureWebJobsStorage: stack.storageConnectionString }
  return { settings: { ...database, ...storage }, lost: stack.lost }
}

/** Stays with the data folder: names its leases, also those of a run that was killed. */
async function instanceId(dataDir: string): Promise<string> {
  const path = resolve(dataDir, 'instance')
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known !== '') return known
  const id = `local-${randomUUID()}`
  await writeFile(path, id)
  return id
}
