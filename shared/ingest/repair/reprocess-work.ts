import { setTimeout as sleep } from 'node:timers/promises'
import { CancelledError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { State } from '../state/state-machine.ts'
import { curate } from '../work.ts'
import type { PlannedRebuild } from './reprocess-plan.ts'

/** What became of a rebuild. */
export type RebuildResult = PlannedRebuild & {
  readonly state: State
  /** Rows; null where nobody could say, or it is not done. */
  readonly added: number | null
  readonly changed: number | null
  readonly unchanged: number | null
  readonly removed: number | null
  readonly error: string | null
}

const RESULT: Statement = {
  name: 'result_of_rebuild',
  text: `
select state, inserted as added, updated as changed, unchanged, removed, error_summary as error
  from provenance.source_ingest where source_ingest_id = $1::uuid`,
}

/** A job has no host that ends it; what takes longer is tried again. */
const DEADLINE_MS = 30 * 60_000
/** How long another worker that was faster is waited for. */
const OTHERS_MS_MAX = 120_000
const POLL_MS = 500

/**
 * Works the rebuilds off, one after the other, as the function `curate` does. What is not published in the end (another
 * try is due, it failed) is said and left to the sweep. Throws CancelledError when told to stop; what is planned stays.
 */
export async function workRebuilds(
  platform: Platform,
  rebuilds: readonly PlannedRebuild[],
  { signal, onDone }: { readonly signal: AbortSignal; readonly onDone: (result: RebuildResult) => void },
): Promise<readonly RebuildResult[]> {
  const results: RebuildResult[] = []
  for (const rebuild of rebuilds) {
    stopIfTold(signal)
    const message = { v: 1, sourceIngestId: rebuild.sourceIngestId }
    const worked = await curate(platform, message, { stop: signal, deadlineMs: DEADLINE_MS, waitMsMax: 0 })
    stopIfTold(signal)
    const result = await resultOf(platform.db, rebuild, worked === 'refused' ? OTHERS_MS_MAX : 0, signal)
    results.push(result)
    onDone(result)
  }
  return results
}

async function resultOf(
  db: Queryable,
  rebuild: PlannedRebuild,
  waitMs: number,
  signal: AbortSignal,
): Promise<RebuildResult> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const [row] = await db.query<Omit<RebuildResult, keyof PlannedRebuild>>(RESULT, [rebuild.sourceIngestId])
    if (row === undefined) throw new Error(`rebuild ${rebuild.sourceIngestId}: expected a planned ingest, got none`)
    if (row.state !== 'curating' || waitedMs >= waitMs) return { ...rebuild, ...row }
    await sleep(POLL_MS, undefined, { signal }).catch(() => stopIfTold(signal))
  }
}

function stopIfTold(signal: AbortSignal): void {
  if (signal.aborted) throw new CancelledError('told to stop; what is planned is worked off by the next sweep')
}
