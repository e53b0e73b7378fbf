import type { WorkerCounts } from '../../ops/progress.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { claimToCurate } from '../state/claim.ts'
import { claimRequest, curateClaimed, landClaimed, type Worked, type WorkLimits } from '../work.ts'
import type { Picked } from './pick.ts'
import { createTurns } from './turns.ts'

/**
 * Curating is work for one core and holds a window and its files in memory; the second one computes while the first
 * waits for storage. More made nothing faster and every worker larger.
 */
const CURATING_AT_ONCE = 2

/** Outcomes after which the window is nearer to its end. What only waits again is none. */
const PROGRESS: readonly Worked[] = ['landed', 'empty', 'published', 'split', 'cancelled', 'failed', 'quarantined']

const COUNT: Statement = {
  name: 'counts_of_worker',
  text: `
select coalesce(sum(records), 0)::bigint as rows, coalesce(sum(pages), 0)::bigint as calls,
       coalesce(sum(body_bytes), 0)::bigint as bytes
  from provenance.source_ingest where source_ingest_id = any($1::uuid[])`,
}

/** The hands of one process: it lands and curates what was claimed, and counts what became of it. */
export type Worker = {
  readonly work: (picked: Picked) => Promise<void>
  readonly mayCurate: () => boolean
  readonly counts: () => Promise<WorkerCounts>
  /** When something last came nearer to its end, of `performance.now()`. */
  readonly progressMs: () => number
}

export function createWorker(platform: Platform, limits: WorkLimits): Worker {
  const curating = createTurns(CURATING_AT_ONCE)
  const counted = { windows: 0, failed: 0, rows: 0, calls: 0, bytes: 0 }
  const uncounted = new Set<string>()
  let progressMs = performance.now()

  const note = (sourceIngestId: string, worked: Worked) => {
    if (PROGRESS.includes(worked)) progressMs = performance.now()
    if (worked === 'published' || worked === 'empty') {
      counted.windows++
      uncounted.add(sourceIngestId)
    }
    if (worked === 'failed' || worked === 'quarantined') counted.failed++
  }

  return {
    mayCurate: curating.isFree,
    progressMs: () => progressMs,
    async work({ kind, claim }) {
      const { sourceIngestId } = claim
      if (kind === 'curate') {
        return curating.take(async () => note(sourceIngestId, await curateClaimed(platform, claim, limits)))
      }
      const worked = await landClaimed(platform, claim, limits)
      note(sourceIngestId, worked)
      if (worked !== 'landed') return
      await curating.take(async () => {
        // Told to stop while it waited: it stays landed, and whoever comes next goes on from there.
        if (limits.stop.aborted) return
        const toCurate = await claimToCurate(platform.db, claimRequest(platform, sourceIngestId))
        if (toCurate !== null) note(sourceIngestId, await curateClaimed(platform, toCurate, limits))
      })
    },
    async counts() {
      const ids = [...uncounted]
      if (ids.length > 0) {
        const [sums] = await platform.db.query<Pick<WorkerCounts, 'rows' | 'calls' | 'bytes'>>(COUNT, [ids])
        for (const id of ids) uncounted.delete(id)
        counted.rows += sums?.rows ?? 0
        counted.calls += sums?.calls ?? 0
        counted.bytes += sums?.bytes ?? 0
      }
      return { ...counted }
    },
  }
}
