import { readFileSync } from 'node:fs'
import { chmod, mkdir, realpath, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CancelledError, toError } from '../../../shared/errors.ts'
import { type Azurite, type AzuriteAccount, newAccountKey, startAzurite } from './azurite.ts'
import { lockFolder } from './folder-lock.ts'
import { formatGuardReport, type GuardReport } from './guard-report.ts'
import { type Postgres, startPostgres } from './postgres.ts'

/**
 * The guard process: `node guard.js <data folder>`. It keeps PostgreSQL and the storage emulator while its standard
 * input is open, that is while the application lives, and stops them gently afterwards. It holds the lock on the data
 * folder until both have ended, so the next start finds them stopped and everything written.
 */
const LOCK_TIMEOUT_MS = 60_000
const ACCOUNT_NAME = 'tributary'

const stopping = new AbortController()

async function main(dataDir: string): Promise<void> {
  // Whatever the umask: PostgreSQL may have to run as another user than root, and secrets have a mode of their own.
  if ((await mkdir(dataDir, { recursive: true })) !== undefined) await chmod(dataDir, 0o711)
  const folder = await realpath(dataDir)
  const lock = await lockFolder(folder, {
    timeoutMs: LOCK_TIMEOUT_MS,
    signal: stopping.signal,
    onWait: () => progress(`waiting for the start before this one to stop${readHolder(folder)}`),
  })
  if (!lock) {
    throw new Error(
      `data folder ${folder}: expected no other start, got one that still runs after ${LOCK_TIMEOUT_MS / 1000} s${readHolder(folder)}; stop it or set TRIBUTARY_DATA_DIR`,
    )
  }
  await writeFile(join(folder, 'guard.pid'), `${process.pid}\n`, { mode: 0o600 })
  await keepServers(folder)
  await lock.release()
}

/** Resolves when told to stop, throws when a server did not start or ended by itself; in each case both have ended. */
async function keepServers(folder: string): Promise<void> {
  const account = await ensureAccount(folder)
  const starting = new AbortController()
  const signal = AbortSignal.any([stopping.signal, starting.signal])
  let failure: unknown
  const failFast = (error: unknown) => {
    // The other one is given up; that it was is not the failure.
    failure ??= error
    starting.abort()
    throw error
  }
  const [postgres, azurite] = await Promise.allSettled([
    startPostgres({ folder: join(folder, 'postgres'), durable: true, signal, log: progress }).catch(failFast),
    startAzurite({ folder: join(folder, 'azurite'), accounts: [account], signal }).catch(failFast),
  ])
  try {
    if (postgres.status === 'fulfilled' && azurite.status === 'fulfilled') {
      await whileBothRun(postgres.value, azurite.value, account)
    }
  } finally {
    const started = [postgres, azurite].flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    await stopAll(started)
  }
  if (failure !== undefined && !stopping.signal.aborted) throw failure
}

async function whileBothRun(postgres: Postgres, azurite: Azurite, account: AzuriteAccount): Promise<void> {
  const databaseUrl = postgres.url('postgres')
  report({ event: 'ready', databaseUrl, storageConnectionString: azurite.connectionString(account) })
  const told = new Promise<undefined>((resolve) => {
    if (stopping.signal.aborted) resolve(undefined)
    stopping.signal.addEventListener('abort', () => resolve(undefined))
  })
  const end = await Promise.race([told, postgres.ended, azurite.ended])
  if (end !== undefined) throw new Error(`expected postgres and azurite to run until they are stopped, but ${end}`)
}

async function stopAll(servers: readonly (Postgres | Azurite)[]): Promise<void> {
  const results = await Promise.allSettled(servers.map((server) => server.stop()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** One storage account with a key of its own, kept for the next start: a well-known key opens it to every local user. */
async function ensureAccount(folder: string): Promise<AzuriteAccount> {
  const file = join(folder, 'storage-key')
  const kept = readText(file)
  if (kept !== undefined) return { name: ACCOUNT_NAME, key: kept }
  const key = newAccountKey()
  await writeFile(`${file}.new`, `${key}\n`, { mode: 0o600 })
  await rename(`${file}.new`, file)
  return { name: ACCOUNT_NAME, key }
}

function readHolder(folder: string): string {
  const pid = readText(join(folder, 'guard.pid'))
  return pid === undefined ? '' : ` (guard process ${pid})`
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

function progress(message: string): void {
  report({ event: 'progress', message })
}

function report(line: GuardReport): void {
  process.stdout.write(formatGuardReport(line))
}

// The reader may be dead already: that is what the guard is for.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())
process.stdin.on('close', () => stopping.abort())
process.stdin.on('error', () => stopping.abort())
process.stdin.resume()

main(process.argv[2] ?? '.tributary').then(
  () => process.exit(0),
  (error) => {
    if (stopping.signal.aborted && error instanceof CancelledError) process.exit(0)
    process.stdout.write(formatGuardReport({ event: 'failed', message: toError(error).message }), () => process.exit(1))
  },
)
