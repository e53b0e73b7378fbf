import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { toError } from '../../../shared/errors.ts'
import type { Schedule } from './ncrontab.ts'

/** What the host remembers of a monitored timer between starts. */
export type TimerStatus = {
  /** Null until it has run. */
  readonly last: Date | null
  readonly next: Date
  readonly lastUpdated: Date
}

export type AtStart = { readonly status: TimerStatus; readonly isPastDue: boolean }

/**
 * The host's rule for missed occurrences: however many there were, the timer runs once, past due. A schedule that was
 * changed meanwhile counts from now on, so it is never past due.
 */
export function statusAtStart(stored: TimerStatus | undefined, schedule: Schedule, now: Date): AtStart {
  if (!stored) return { status: { last: null, next: schedule.next(now), lastUpdated: now }, isPastDue: false }
  const since = stored.last ?? stored.lastUpdated
  const expected = schedule.next(since)
  if (expected.getTime() === stored.next.getTime()) return { status: stored, isPastDue: now > stored.next }
  const status =
    now > expected
      ? { last: null, next: schedule.next(now), lastUpdated: now }
      : { last: null, next: expected, lastUpdated: since }
  return { status, isPastDue: false }
}

/** After a run. A timer that fired a little early counts as on time, or the same occurrence would fire again. */
export function statusAfterRun(before: TimerStatus, schedule: Schedule, startedAt: Date): TimerStatus {
  const last = startedAt < before.next && before.next.getTime() - startedAt.getTime() < 1000 ? before.next : startedAt
  return { last, next: schedule.next(last), lastUpdated: last }
}

const storedStatus = z.strictObject({
  last: z.iso.datetime().nullable(),
  next: z.iso.datetime(),
  lastUpdated: z.iso.datetime(),
})

/** Undefined where there is no status; throws where the file is not one. */
export async function readStatus(folder: string, functionName: string): Promise<TimerStatus | undefined> {
  const path = statusPath(folder, functionName)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    return undefined
  }
  try {
    const { last, next, lastUpdated } = storedStatus.parse(JSON.parse(text))
    return { last: last === null ? null : new Date(last), next: new Date(next), lastUpdated: new Date(lastUpdated) }
  } catch (error) {
    throw new Error(`${path}: expected the status of a timer, got ${text.slice(0, 100)}`, { cause: toError(error) })
  }
}

/** Written beside and renamed, so that a killed process leaves the old status or the new one. */
export async function writeStatus(folder: string, functionName: string, status: TimerStatus): Promise<void> {
  const path = statusPath(folder, functionName)
  await mkdir(folder, { recursive: true })
  await writeFile(`${path}.new`, `${JSON.stringify(status)}\n`)
  await rename(`${path}.new`, path)
}

function statusPath(folder: string, functionName: string): string {
  return join(folder, `${functionName}.json`)
}
