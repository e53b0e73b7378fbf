import { type ChildProcess, spawn } from 'node:child_process'
import { resolve as resolvePath } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { CancelledError, toError } from '../../../shared/errors.ts'
import { type GuardReport, parseGuardReport } from './guard-report.ts'
import { serverEnvironment } from './server-process.ts'

export type StackOptions = {
  /** Keeps everything: `<dataDir>/postgres`, `<dataDir>/azurite` and their secrets. Made when missing. */
  readonly dataDir: string
  readonly log: (line: string) => void
  /** Gives up the start; a stack that runs is stopped with `stop`. */
  readonly signal?: AbortSignal
}

export type Stack = {
  readonly databaseUrl: string
  readonly storageConnectionString: string
  /** Aborted, with the reason, when a server or the guard ended without having been told to. */
  readonly lost: AbortSignal
  /** Resolves when both servers have ended and the data folder is free. */
  readonly stop: () => Promise<void>
}

const DATABASE = 'tributary'

// Node 20 cannot run TypeScript: from the sources, that is in tests, the guard is the compiled one.
const GUARD = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/jobs/local/stack/guard.js' : './guard.js',
  import.meta.url,
)

/**
 * Starts PostgreSQL and the storage emulator on the data of the last start. They end with this process, however it
 * ends; a start that finds the servers of a killed one still stopping waits for them.
 */
export async function startStack({ dataDir, log, signal }: StackOptions): Promise<Stack> {
  signal?.throwIfAborted()
  const guard = spawn(process.execPath, [fileURLToPath(GUARD), resolvePath(dataDir)], {
    // Ctrl-C reaches a whole process group: in its own, the guard waits for the application to end first.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: serverEnvironment(),
  })
  const ended = endOf(guard)
  const stop = async () => {
    guard.stdin?.end()
    await ended
  }
  const abort = () => guard.stdin?.end()
  signal?.addEventListener('abort', abort)
  try {
    const { ready, failed } = readReports(guard, log)
    const first = await Promise.race([ready, ended])
    if (typeof first === 'string') {
      if (signal?.aborted) throw new CancelledError('local stack: told to stop before it was ready')
      throw new Error(`local stack: ${failed() ?? first}`)
    }
    const databaseUrl = await ensureDatabase(first.databaseUrl)
    const lost = new AbortController()
    let stopping = false
    void ended.then((end) => {
      if (!stopping) lost.abort(new Error(`local stack: ${failed() ?? end}`))
    })
    return {
      databaseUrl,
      storageConnectionString: first.storageConnectionString,
      lost: lost.signal,
      stop() {
        stopping = true
        return stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** Resolves, never rejects, with how the guard ended. */
function endOf(guard: ChildProcess): Promise<string> {
  guard.stdin?.on('error', () => undefined)
  return new Promise((resolve) => {
    guard.once('error', (error) => resolve(`guard: could not be started (${error.message})`))
    // 'close' and not 'exit': its last report has been read then.
    guard.once('close', (code, signal) =>
      resolve(`guard (process ${guard.pid}) ended with ${signal ?? `exit code ${code}`}`),
    )
  })
}

type Ready = Extract<GuardReport, { event: 'ready' }>

function readReports(
  guard: ChildProcess,
  log: (line: string) => void,
): { readonly ready: Promise<Ready>; readonly failed: () => string | undefined } {
  let failed: string | undefined
  const ready = new Promise<Ready>((resolve, reject) => {
    if (guard.stdout === null) throw new Error('guard: expected a pipe as its standard output, got none')
    createInterface({ input: guard.stdout }).on('line', (line) => {
      try {
        const report = parseGuardReport(line)
        if (report.event === 'progress') log(report.message)
        else if (report.event === 'ready') resolve(report)
        else failed = report.message
      } catch (error) {
        reject(toError(error))
      }
    })
  })
  return { ready, failed: () => failed }
}

async function ensureDatabase(maintenanceUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: maintenanceUrl })
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`create database ${DATABASE}`)
  } finally {
    await client.end()
  }
  const url = new URL(maintenanceUrl)
  url.pathname = `/${DATABASE}`
  return url.href
}
