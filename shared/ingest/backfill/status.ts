import type { Table } from '../../azure/tables.ts'
import { toError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import { readWorkers, SILENT_AFTER_MS, type WorkerProgress } from '../../ops/progress.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { type Backfill, findBackfill, listBackfills } from './find.ts'
import { type Outlook, readOutlook, readWaiting, type Waiting } from './outlook.ts'

const BACKFILLS_SHOWN_MAX = 50
const FAILED_SHOWN_MAX = 50

const FAILED: Statement = {
  name: 'failed_of_backfill',
  text: `
select concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream, i.source_ingest_id as "sourceIngestId",
       i.lo, i.hi, i.state, i.error_summary as error
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.backfill_id = $1::uuid and i.state in ('failed', 'quarantined')
   and not (s.published + s.accepted) @> tstzrange(i.lo, i.hi)
 order by stream, i.lo
 limit ${FAILED_SHOWN_MAX}`,
}

export type FailedWindow = {
  readonly stream: string
  readonly sourceIngestId: string
  readonly lo: Instant
  readonly hi: Instant
  readonly state: string
  readonly error: string | null
}

export type BackfillStatus = Backfill & {
  readonly windows: Omit<Outlook, 'state' | 'now'>
  /** What keeps windows waiting, while somebody works on it. */
  readonly waiting: readonly Waiting[]
  readonly failed: readonly FailedWindow[]
  /** As the table `progress` says; null where it does not answer. */
  readonly workers: readonly (WorkerProgress & { readonly silent: boolean })[] | null
}

/** One backfill in detail. Throws ConfigError where there is none of that id. */
export async function readBackfillStatus(platform: Platform, table: Table, id: string): Promise<BackfillStatus> {
  const backfill = await findBackfill(platform.db, id)
  const { backfillId } = backfill
  const { state: _, now: __, ...windows } = await readOutlook(platform, backfillId)
  const nowMs = Date.now()
  const workers = await readWorkers(table, backfillId).catch((error) => {
    platform.log.warn('progress_not_read', { backfill_id: backfillId, error: toError(error) })
    return null
  })
  return {
    ...backfill,
    windows,
    waiting: backfill.state === 'active' ? await readWaiting(platform, backfillId) : [],
    failed: await platform.db.query<FailedWindow>(FAILED, [backfillId]),
    workers:
      workers?.map((worker) => ({
        ...worker,
        // One that has ended said so.
        silent: worker.state === 'running' && nowMs - Date.parse(worker.heartbeatAt) > SILENT_AFTER_MS,
      })) ?? null,
  }
}

export type BackfillSummary = Backfill & { readonly windows: Omit<Outlook, 'state' | 'now'> }

/** The active and paused ones, then the newest of the others. */
export async function readBackfills(platform: Platform): Promise<readonly BackfillSummary[]> {
  const summaries: BackfillSummary[] = []
  for (const backfill of await listBackfills(platform.db, BACKFILLS_SHOWN_MAX)) {
    const { state: _, now: __, ...windows } = await readOutlook(platform, backfill.backfillId)
    summaries.push({ ...backfill, windows })
  }
  return summaries
}
