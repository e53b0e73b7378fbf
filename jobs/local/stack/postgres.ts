import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { toError } from '../../../shared/errors.ts'
import { freePort } from './free-port.ts'
import { stopOrphan } from './orphan.ts'
import { findPostgresBinaries, findPostgresIdentity } from './postgres-binaries.ts'
import { ensureCluster, POSTGRES_USER } from './postgres-cluster.ts'
import { isRunning } from './process-identity.ts'
import {
  type ServerProcess,
  serverEnvironment,
  startServerProcess,
  stopServerProcess,
  untilReady,
} from './server-process.ts'

export type PostgresOptions = {
  /** Made when missing; its parent must exist. One owner at a time: hold the lock on the data folder. */
  readonly folder: string
  /** False only for databases that nobody will miss: no fsync, three times faster. */
  readonly durable: boolean
  /** Enough for what one machine ingests; measurements of large tables want more. */
  readonly sharedBuffers?: string
  /** Undefined: any free one. */
  readonly port?: number
  readonly signal?: AbortSignal | undefined
  readonly log?: (line: string) => void
}

export type Postgres = {
  readonly pid: number
  readonly port: number
  /** Resolves when the server is gone, with how it ended and the end of its log. */
  readonly ended: Promise<string>
  readonly url: (database: string) => string
  readonly stop: () => Promise<void>
}

const HOST = '127.0.0.1'
const START_ATTEMPTS_MAX = 60
const RETRY_MS = 250

// A port taken since it was found free, and backends of a killed server that have not noticed yet: both pass.
const PASSING = /Address already in use|pre-existing shared memory block/

/** Starts the embedded server on loopback and resolves when it accepts connections. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { folder, durable, signal, log = () => undefined } = options
  const binaries = await findPostgresBinaries()
  const identity = await findPostgresIdentity(binaries.postgres, dirname(folder))
  const { password } = await ensureCluster({ folder, binaries, identity, durable, signal, log })
  await clearPidFile(join(folder, 'cluster'))

  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort(HOST))
    const [command = binaries.postgres, ...args] = [
      ...identity.prefix,
      binaries.postgres,
      ...serverArguments(join(folder, 'cluster'), port, options),
    ]
    const server = await startServerProcess({
      name: 'postgres',
      command,
      args,
      env: serverEnvironment(),
      logFile: join(folder, 'postgres.log'),
      stopSignal: 'SIGINT',
    })
    try {
      await untilReady(server, () => acceptsConnections(folder, server.pid), signal)
      return running(server, port, password)
    } catch (error) {
      await stop(server)
      if (attempt >= START_ATTEMPTS_MAX || !PASSING.test(toError(error).message)) throw error
      await sleep(RETRY_MS)
    }
  }
}

function serverArguments(
  cluster: string,
  port: number,
  { durable, sharedBuffers = '64MB' }: PostgresOptions,
): readonly string[] {
  const settings = {
    listen_addresses: HOST,
    port,
    // A socket's path may be 107 bytes long; loopback has no such limit.
    unix_socket_directories: '',
    max_connections: 100,
    shared_buffers: sharedBuffers,
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  }
  return ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

function running(server: ServerProcess, port: number, password: string): Postgres {
  return {
    pid: server.pid,
    port,
    ended: server.ended,
    url: (database) => `postgres://${POSTGRES_USER}:${password}@${HOST}:${port}/${encodeURIComponent(database)}`,
    stop: () => stop(server),
  }
}

// SIGINT is PostgreSQL's fast shutdown. SIGQUIT gives up a shutdown that hangs: the next start recovers, nothing is lost.
function stop(server: ServerProcess): Promise<void> {
  return stopServerProcess(server, [
    { signal: 'SIGINT', waitMs: 20_000 },
    { signal: 'SIGQUIT', waitMs: 20_000 },
  ])
}

/** The server writes its state into line 8 of postmaster.pid, which is what pg_ctl waits for too. */
async function acceptsConnections(folder: string, pid: number): Promise<true | undefined> {
  const lines = await pidFileLines(join(folder, 'cluster'))
  return Number(lines?.[0]) === pid && lines?.[7]?.trim() === 'ready' ? true : undefined
}

async function pidFileLines(cluster: string): Promise<readonly string[] | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => undefined)
  return text?.split('\n')
}

/**
 * Stops a server left behind, and makes the pid file of a killed one harmless. The file is kept, because its line 7
 * lets the server see backends of the killed one that still write. Only its number is replaced: it may belong to
 * another process by now, and the number of the server's parent is known to be stale (CreateLockFile in miscinit.c).
 */
async function clearPidFile(cluster: string): Promise<void> {
  const lines = await pidFileLines(cluster)
  if (lines === undefined) return
  const file = join(cluster, 'postmaster.pid')
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return rm(file, { force: true })
  if (await isRunning(pid, cluster)) return stopOrphan('postgres', pid, cluster, 'SIGINT')
  await writeFile(`${file}.new`, [process.pid, ...lines.slice(1)].join('\n'), { mode: 0o600 })
  await rename(`${file}.new`, file)
}
