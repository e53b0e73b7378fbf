import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CancelledError } from '../../../shared/errors.ts'

const POLL_MS = 20
const READY_TIMEOUT_MS = 60_000
const LOG_TAIL_CHARS = 4_000
const LOG_BYTES_MAX = 4_000_000

export type ServerCommand = {
  /** For messages: `postgres`, `azurite`. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
  /** What stops it without losing anything. */
  readonly stopSignal: NodeJS.Signals
}

/** A server that outlives nobody: when the process that started it is gone, however, it is told to stop. */
export type ServerProcess = {
  readonly name: string
  readonly pid: number
  /** Resolves when the process is gone, with how it ended and the end of its log. Never rejects. */
  readonly ended: Promise<string>
  readonly endedAs: () => string | undefined
  /** What it has logged since this start. */
  readonly log: () => string
  readonly signal: (signal: NodeJS.Signals) => void
}

export async function startServerProcess(command: ServerCommand): Promise<ServerProcess> {
  const { name, logFile } = command
  const fd = openLog(logFile)
  const offset = fstatSync(fd).size
  // A session of its own, so that Ctrl-C in the terminal reaches the application only. The log is a file, not a pipe:
  // a server whose reader was killed must still be able to say that it stops.
  const child = spawn(command.command, command.args, {
    detached: true,
    stdio: ['ignore', fd, fd],
    env: command.env,
    cwd: '/',
  })
  closeSync(fd)
  const pid = await spawned(child, name)

  const log = () => readLog(logFile, offset)
  let end: string | undefined
  const watcher = stopWhenWeAreGone(pid, command.stopSignal)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      // Before its stdin closes: afterwards the number of the dead server may be another process's.
      watcher.kill('SIGKILL')
      end = `${name} (process ${pid}) ended with ${signal ?? `exit code ${code}`}\n${log().slice(-LOG_TAIL_CHARS)}`
      resolve(end)
    })
  })
  return { name, pid, ended, endedAs: () => end, log, signal: (signal) => child.kill(signal) }
}

function openLog(logFile: string): number {
  const fd = openSync(logFile, 'a', 0o600)
  if (fstatSync(fd).size <= LOG_BYTES_MAX) return fd
  closeSync(fd)
  return openSync(logFile, 'w', 0o600)
}

function readLog(logFile: string, offset: number): string {
  try {
    return readFileSync(logFile).subarray(offset).toString('utf8')
  } catch {
    // Somebody removed the data folder under the running server: it must still be stopped.
    return ''
  }
}

function spawned(child: ChildProcess, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`${name}: could not be started (${cause.message})`, { cause })))
    child.once('spawn', () => resolve(child.pid as number))
  })
}

/**
 * A shell that blocks on a pipe from this process. The kernel closes the pipe however this process ends, SIGKILL
 * included, and the shell then stops the server gently. Its own session keeps it out of a kill of our process group.
 */
function stopWhenWeAreGone(pid: number, signal: NodeJS.Signals): ChildProcess {
  const script = `read -r _; kill -${signal.slice(3)} "$1"`
  const watcher = spawn('/bin/sh', ['-c', script, 'sh', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  })
  watcher.on('error', () => undefined)
  watcher.stdin?.on('error', () => undefined)
  return watcher
}

/** Polls `ready` until it gives a value; throws with the log's end when the server ends or takes over a minute. */
export async function untilReady<T>(
  server: ServerProcess,
  ready: () => Promise<T | undefined>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const deadline = Date.now() + READY_TIMEOUT_MS
  while (Date.now() < deadline) {
    if (signal?.aborted) throw new CancelledError(`${server.name}: told to stop before it was ready`)
    const end = server.endedAs()
    if (end !== undefined) throw new Error(`${server.name}: expected it to get ready, but ${end}`)
    const value = await ready()
    if (value !== undefined) return value
    await sleep(POLL_MS)
  }
  throw new Error(
    `${server.name}: expected it to be ready within ${READY_TIMEOUT_MS / 1000} s\n${server.log().slice(-LOG_TAIL_CHARS)}`,
  )
}

/** Sends each signal in turn and waits that long for the end; throws when the last did not help. */
export async function stopServerProcess(
  server: ServerProcess,
  steps: readonly { readonly signal: NodeJS.Signals; readonly waitMs: number }[],
): Promise<void> {
  for (const { signal, waitMs } of steps) {
    if (server.endedAs() !== undefined) return
    server.signal(signal)
    const waiting = new AbortController()
    const timeout = sleep(waitMs, undefined, { signal: waiting.signal }).catch(() => undefined)
    await Promise.race([server.ended, timeout])
    waiting.abort()
  }
  if (server.endedAs() === undefined) {
    throw new Error(`${server.name} (process ${server.pid}): expected it to end after ${steps.at(-1)?.signal}`)
  }
}

/** What a server may see of our environment: PG*, AZURITE_*, NODE_OPTIONS and LC_* would change what it does. */
export function serverEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', ...more }
}
