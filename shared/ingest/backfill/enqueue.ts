import { ConfigError } from '../../errors.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { type Hint, sendHints } from '../hints.ts'
import { findBackfill } from './find.ts'

/** Hints of backfills in the queue at a time. Live's stand behind them, and a quota passes a few a second. */
const HINTS_OUT_MAX = 250

const ENQUEUE: Statement = {
  name: 'enqueue_backfill',
  text: `
update ingest.backfill set enqueued_at = now()
 where backfill_id = $1::uuid and state = 'active' and enqueued_at is null
returning backfill_id`,
}

// The windows of backfills that are the queue's; and of those that are over what a person replayed, or what was under way
// when it was cancelled: no worker looks for them any more.
const DUE: Statement = {
  name: 'due_hints_of_backfills',
  text: `
with ours as materialized (
  select i.source_ingest_id, i.lo, i.queued_at, i.next_attempt_at, b.created_at, b.newest_first, s.paused,
         i.queued_at > now() - make_interval(secs => $1::int) as out
    from ingest.backfill b
    join provenance.source_ingest i using (backfill_id)
    join ingest.stream s using (stream_id)
   where i.state = 'planned' and ((b.state = 'active' and b.enqueued_at is not null) or b.state in ('finished', 'cancelled'))
)
select source_ingest_id as "sourceIngestId", 'land' as queue
  from ours
 where not paused and out is not true and (next_attempt_at is null or next_attempt_at <= now())
 order by created_at, case when newest_first then -extract(epoch from lo) else extract(epoch from lo) end
 limit greatest(0, ${HINTS_OUT_MAX} - (select count(*) from ours where out))`,
}

/**
 * Tells the queue `land` of windows that the queue is to work on: as many as may be out at a time, the rest with every
 * sweep. `hintStaleS`: how old a hint must be to count as lost, seconds.
 */
export async function sendBackfillHints(platform: Platform, hintStaleS: number): Promise<number> {
  return sendHints(platform, await platform.db.query<Hint>(DUE, [hintStaleS]))
}

export type EnqueueRequest = { readonly backfillId: string; readonly actor: string; readonly hintStaleS: number }

/**
 * Hands the windows of a backfill to the queue `land`, so that the functions scale out over them. It may be repeated;
 * a worker may work on it beside them. Returns how many hints were sent now.
 */
export async function enqueueBackfill(platform: Platform, request: EnqueueRequest): Promise<number> {
  const { backfillId, actor, hintStaleS } = request
  const { state } = await findBackfill(platform.db, backfillId)
  if (state !== 'active') {
    throw new ConfigError([`backfill ${backfillId}: expected one that is active, it is ${state}`])
  }
  // Marked before the first is sent: what a crash leaves unsent is the sweep's.
  await platform.db.transaction(async (tx) => {
    if ((await tx.query(ENQUEUE, [backfillId])).length === 0) return
    await recordAudit(tx, { actor, action: 'enqueue_backfill', subject: backfillId })
  })
  return sendBackfillHints(platform, hintStaleS)
}
