import { PermanentError, TransientError } from '../../errors.ts'
import type { RecordProblem } from '../model/problem.ts'
import type { StoreResult } from '../model/repository.ts'

/** Since the flush before. */
export type FlushCounts = {
  readonly stored: number
  /** Were stored before: sent twice, or said twice. */
  readonly replayed: number
  readonly refused: number
  /** Went to disk, for a later flush or the next process. */
  readonly spilled: number
  /** Are lost: there was no folder for them, or no room in it. */
  readonly dropped: number
  /** Why records were refused: the first 20. */
  readonly problems: readonly RecordProblem[]
  /** Why records were spilled or dropped: the first reason. */
  readonly error: Error | null
}

export type Counter = {
  readonly add: (results: readonly StoreResult[]) => void
  readonly addUnsent: (spilled: number, dropped: number, why: Error) => void
  /** What was counted; from now on it counts anew. */
  readonly take: () => FlushCounts
}

const PROBLEMS_MAX = 20
const NONE: FlushCounts = { stored: 0, replayed: 0, refused: 0, spilled: 0, dropped: 0, problems: [], error: null }

export function createCounter(): Counter {
  let counts = NONE
  return {
    add(results) {
      const problems = results.flatMap((result) => (result.outcome === 'refused' ? [result.problem] : []))
      const of = (outcome: StoreResult['outcome']) => results.filter((result) => result.outcome === outcome).length
      counts = {
        ...counts,
        stored: counts.stored + of('stored'),
        replayed: counts.replayed + of('replayed'),
        refused: counts.refused + problems.length,
        problems: [...counts.problems, ...problems].slice(0, PROBLEMS_MAX),
      }
    },
    addUnsent(spilled, dropped, why) {
      counts = {
        ...counts,
        spilled: counts.spilled + spilled,
        dropped: counts.dropped + dropped,
        error: counts.error ?? why,
      }
    },
    take() {
      const taken = counts
      counts = NONE
      return taken
    },
  }
}

/** Throws what a strict caller must not miss. */
export function checkCounts({ refused, spilled, dropped, problems, error }: FlushCounts): void {
  if (refused > 0) {
    throw new PermanentError(`records: expected all to be stored, got ${refused} refused: ${problems[0]?.detail}`)
  }
  const waiting = spilled + dropped
  if (waiting > 0) {
    throw new TransientError(`records: expected all to be stored, got ${waiting} that were not: ${error?.message}`)
  }
}
