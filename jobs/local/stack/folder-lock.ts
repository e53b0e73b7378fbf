import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CancelledError } from '../../../shared/errors.ts'

const POLL_MS = 100

export type LockOptions = {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Called once, when somebody else holds the lock. */
  readonly onWait: () => void
}

/**
 * The right to use a folder, held until `release` or the end of this process, whichever comes first: the kernel keeps
 * it, so there is no stale lock to judge and no race between two that take one over. Resolves to undefined when
 * another process still holds it after `timeoutMs`.
 */
export async function lockFolder(
  folder: string,
  options: LockOptions,
): Promise<{ release(): Promise<void> } | undefined> {
  const deadline = Date.now() + options.timeoutMs
  for (let waited = false; ; waited = true) {
    if (options.signal.aborted) throw new CancelledError(`lock on ${folder}: told to stop while waiting for it`)
    const release = process.platform === 'linux' ? await bindAbstractSocket(folder) : await openExclusively(folder)
    if (release) return { release }
    if (Date.now() > deadline) return undefined
    if (!waited) options.onWait()
    await sleep(POLL_MS)
  }
}

type Release = () => Promise<void>

// An abstract socket has a name and no file. Named by device and inode, so every path to the folder is the same lock.
async function bindAbstractSocket(folder: string): Promise<Release | undefined> {
  const { dev, ino } = await stat(folder, { bigint: true })
  const server = createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(new Error(`lock on ${folder}: expected to bind a socket, got ${error.message}`, { cause: error }))
    })
    server.listen(`\0tributary-stack-${dev}-${ino}`, () => {
      resolve(() => new Promise((closed) => server.close(() => closed())))
    })
  })
}

// macOS: open(2) takes a flock in the same step. Linux has no such flag.
const O_EXLOCK = 0x20

async function openExclusively(folder: string): Promise<Release | undefined> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK
  try {
    const file = await open(join(folder, 'stack.lock'), flags, 0o600)
    return () => file.close()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined
    throw error
  }
}
