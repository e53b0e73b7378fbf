import type { BlobContainer } from '../../azure/blobs.ts'
import { LeaseLostError, PermanentError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import type { Database } from '../../postgres/database.ts'
import type { MetadataKinds } from '../model/kinds.ts'
import { boundaryOf, moveBoundary } from './boundary.ts'
import { countDeletable, deleteCompacted } from './delete-compacted.ts'
import { type Lease, releaseLease, renewLease, takeLease } from './lease.ts'
import { CLOSED_DAYS, dayBefore, type StoredDay, storedDays } from './stored-days.ts'
import { compactedPath, writeDay } from './write-day.ts'

export type CompactOptions = {
  readonly db: Database
  /** The container `metadata`. */
  readonly files: BlobContainer
  readonly kinds: MetadataKinds
  readonly log: Log
  readonly stop?: AbortSignal
}

/** What would be done to one kind now. */
export type CompactionPlan = {
  readonly kind: string
  /** Days that leave the table, oldest first. */
  readonly days: readonly string[]
  readonly files: readonly string[]
  readonly recordsToWrite: number
  /** Those of them, and of earlier days, that are the latest of nothing. */
  readonly recordsToDelete: number
}

export type CompactedKind = {
  readonly kind: string
  readonly filesWritten: number
  readonly recordsWritten: number
  readonly recordsDeleted: number
  /** `YYYY-MM-DD`: records stored before it are in files. Null: none ever were. */
  readonly below: string | null
  /** Consumers of the feed that have still to read what is to go; empty: nothing waits. */
  readonly waitsFor: readonly string[]
}

const LEASE = 'metadata-compaction'
// Longer than the file of a day with millions of records takes; it is renewed before each.
const LEASE_S = 1_800

/** What is due of every kind whose records leave the table. Changes nothing. */
export async function planCompaction({ db, kinds }: Pick<CompactOptions, 'db' | 'kinds'>): Promise<CompactionPlan[]> {
  const plans: CompactionPlan[] = []
  for (const { kind, hotDays } of leaving(kinds)) {
    const due = await dueDays(db, kind, hotDays)
    const { deletable } = await countDeletable(db, kind, due.at(-1)?.day ?? null)
    plans.push({
      kind,
      days: [...new Set(due.map(({ day }) => day))],
      files: due.map(compactedPath),
      recordsToWrite: due.reduce((sum, { rows }) => sum + rows, 0),
      recordsToDelete: deletable,
    })
  }
  return plans
}

/**
 * Moves days that are no longer hot from the table into files, kind by kind: makes the files, moves the boundary, then
 * deletes. Safe to be killed anywhere and to run again; null: it runs elsewhere. Throws PermanentError, once
 * all other kinds are done, where one is not as it was planned: that one has stopped.
 */
export async function compactMetadata(options: CompactOptions): Promise<readonly CompactedKind[] | null> {
  const { db, kinds, log, stop } = options
  const lease = await takeLease(db, LEASE, LEASE_S)
  if (lease === null) return null
  const done: CompactedKind[] = []
  const stopped: PermanentError[] = []
  try {
    for (const { kind, hotDays } of leaving(kinds)) {
      if (stop?.aborted) break
      const compacted = await compactKind(options, lease, kind, hotDays).catch((thrown) => {
        if (!(thrown instanceof PermanentError)) throw thrown
        log.error('metadata_compaction_stopped', { kind, error: thrown })
        stopped.push(thrown)
      })
      if (compacted === undefined) continue
      log.info('metadata_compacted', { ...compacted })
      done.push(compacted)
    }
  } finally {
    // A process that is killed leaves it to expire.
    await releaseLease(db, lease).catch(() => undefined)
  }
  const [first] = stopped
  if (first !== undefined) throw first
  return done
}

async function compactKind(
  { db, files, stop }: CompactOptions,
  lease: Lease,
  kind: string,
  hotDays: number,
): Promise<CompactedKind> {
  const proceed = async () => {
    if (stop?.aborted) return false
    if (await renewLease(db, lease)) return true
    throw new LeaseLostError(`compaction of ${kind}: expected to hold its lease, another has it`)
  }
  const due = await dueDays(db, kind, hotDays)
  let below = await boundaryOf(db, kind, due[0]?.day ?? null)
  const sum = { filesWritten: 0, recordsWritten: 0 }
  let waitsFor: readonly string[] = []
  for (const day of new Set(due.map((stored) => stored.day))) {
    for (const stored of due.filter((other) => other.day === day)) {
      if (!(await proceed())) return { kind, ...sum, recordsDeleted: 0, below, waitsFor }
      const { written, rows } = await writeDay({ db, files }, stored)
      sum.filesWritten += written ? 1 : 0
      sum.recordsWritten += written ? rows : 0
    }
    const moved = await moveBoundary(db, { kind, day, below: below ?? day, lease })
    if (!moved.moved) {
      waitsFor = moved.waitsFor
      break
    }
    below = moved.below
  }
  const recordsDeleted = await deleteCompacted(db, kind, lease, proceed)
  return { kind, ...sum, recordsDeleted, below, waitsFor }
}

/** Kinds with a time after which their records leave the table, and that time. */
function leaving(kinds: MetadataKinds) {
  return [...kinds.values()].flatMap(({ kind, hotDays }) => (hotDays === null ? [] : [{ kind, hotDays }]))
}

async function dueDays(db: Database, kind: string, hotDays: number): Promise<readonly StoredDay[]> {
  return storedDays(db, kind, await dayBefore(db, Math.max(hotDays, CLOSED_DAYS)))
}
