import { randomUUID } from 'node:crypto'
import { open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { z } from 'zod'
import { LeaseLostError } from '../../errors.ts'
import type { WriterLock } from './files.ts'
import { codeOf } from './system-error.ts'

/** Of a process on another machine only the age of its lock can be known: it is touched by writes, once a minute. */
const STALE_MS = 10 * 60_000
const TOUCH_MS = 60_000
const TRIES_MAX = 3

const lockFile = z.object({ pid: z.int(), host: z.string(), token: z.string() })
type LockFile = z.output<typeof lockFile>

/** Tokens of this process. A container's process often has the number that the one before it had. */
const held = new Set<string>()

/**
 * A file that names the process that writes. That of a process which is gone is taken over. Two that take it over at
 * once may both believe to have it until one of them looks again, which it does before each write.
 */
export async function lockFolder(path: string): Promise<WriterLock> {
  const mine: LockFile = { pid: process.pid, host: hostname(), token: randomUUID() }
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if (await make(path, mine)) return lockOf(path, mine)
    const other = await readLock(path)
    if (other === null) continue
    if (!(await isStale(path, other))) throw taken(path, other)
    await rm(path, { force: true })
  }
  throw taken(path, await readLock(path))
}

function lockOf(path: string, mine: LockFile): WriterLock {
  held.add(mine.token)
  let touched = performance.now()
  return {
    async hold() {
      const found = await readLock(path)
      if (found === null || found === 'unreadable' || found.token !== mine.token) throw taken(path, found)
      if (performance.now() - touched < TOUCH_MS) return
      const now = new Date()
      await utimes(path, now, now)
      touched = performance.now()
    },
    async release() {
      if (!held.delete(mine.token)) return
      const found = await readLock(path)
      if (found !== null && found !== 'unreadable' && found.token === mine.token) await rm(path, { force: true })
    },
  }
}

async function make(path: string, mine: LockFile): Promise<boolean> {
  try {
    const file = await open(path, 'wx')
    try {
      await file.writeFile(JSON.stringify(mine))
      await file.sync()
    } finally {
      await file.close()
    }
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function readLock(path: string): Promise<LockFile | 'unreadable' | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
  try {
    return lockFile.parse(JSON.parse(text))
  } catch {
    return 'unreadable'
  }
}

async function isStale(path: string, other: LockFile | 'unreadable'): Promise<boolean> {
  if (other !== 'unreadable' && other.host === hostname()) {
    return other.pid === process.pid ? !held.has(other.token) : !isRunning(other.pid)
  }
  // Another machine's, or one whose writer died, or is, between making it and writing into it.
  try {
    return Date.now() - (await stat(path)).mtimeMs > STALE_MS
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true
    throw error
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // There is one, of another user.
    return codeOf(error) === 'EPERM'
  }
}

function taken(path: string, other: LockFile | 'unreadable' | null): LeaseLostError {
  if (other === null) return new LeaseLostError(`${path}: expected the lock of this process, got none`)
  const who = other === 'unreadable' ? 'one that cannot be read' : `that of process ${other.pid} on ${other.host}`
  return new LeaseLostError(`${path}: expected to be the only writer, got ${who} (delete the file if it is gone)`)
}
