import { ENDED_INGEST, TELL_INGESTION } from '../metadata/producers/ingestion.ts'
import { withPipelineRun } from '../ops/pipeline-run.ts'
import { reconcileAlerts } from '../ops/standing-alerts.ts'
import { tellAlerts } from '../ops/tell-alerts.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import { finishBackfills } from './backfill/control.ts'
import { sendBackfillHints } from './backfill/enqueue.ts'
import { type Hint, sendHints } from './hints.ts'
import { nextState } from './state/state-machine.ts'

/** Longer than the host's lock on a message: until then the hint may still be on its way. */
export const HINT_STALE_S = 900
const HINTS_MAX = 1_000

// The worker is gone, or will find that it is: its epoch no longer matches a state it may change. Its attempt counts,
// so a process that is killed again and again for its memory ends in quarantine too.
const TAKE_OVER: Statement = {
  name: 'take_over_expired',
  text: `
with done as (
  update provenance.source_ingest i
     set state = case when e.exhausted then ${nextState('i', 'quarantine')} else ${nextState('i', 'retry')} end,
         finished_at = case when e.exhausted then now() end,
         claimed_by = null, lease_expires_at = null, queued_at = null, error_class = 'LeaseExpired',
         error_summary = 'worker ' || i.claimed_by || ' did not renew its lease in epoch ' || i.epoch
    from (select source_ingest_id, attempts >= $1::int and attempting_since <= now() - make_interval(secs => $2::int) as exhausted
            from provenance.source_ingest
           where state in ('landing', 'curating') and lease_expires_at < now()
             and ($3::uuid is null or backfill_id = $3::uuid)
             for update skip locked) e
   where i.source_ingest_id = e.source_ingest_id
  returning ${ENDED_INGEST}
), told as (${TELL_INGESTION}
)
select source_ingest_id as "sourceIngestId", state, epoch from done`,
}

// A backfill's windows are claimed by its workers, or have hints of their own; once landed they are curated like all
// others.
const DUE: Statement = {
  name: 'due_hints',
  text: `
select i.source_ingest_id as "sourceIngestId",
       case when i.state = 'planned' and i.lane <> 'reprocess' then 'land' else 'curate' end as queue
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.state in ('planned', 'landed') and not (i.state = 'planned' and i.lane = 'backfill')
   and not s.paused
   and (i.next_attempt_at is null or i.next_attempt_at <= now())
   and (i.queued_at is null or i.queued_at <= now() - make_interval(secs => $1::int))
 order by i.queued_at nulls first
 limit $2::int`,
}

const HEALTH: Statement = {
  name: 'health',
  text: `
select (select count(*) from ops.alert where closed_at is null) as "openAlerts",
       (select count(*) from ops.alert where closed_at is null and kind = 'freshness') as "lateStreams",
       (select count(*) from ops.alert where closed_at is null and kind = 'poison_message') as "poisonQueues",
       (select count(*) from ops.pipeline_runs where status = 'running' and started_at < now() - interval '1 hour') as "runsNotEnded",
       (select extract(epoch from now() - min(planned_at))::bigint from provenance.source_ingest
         where state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined')) as "oldestUnfinishedSeconds"`,
}

export type Swept = { readonly takenOver: number; readonly sent: number }

/**
 * What makes every crash harmless: takes over expired leases, sends every hint that was lost, opens and closes alerts
 * and tells people. `hintStaleS`: how old a hint must be to be sent again, seconds.
 */
export async function sweep(platform: Platform, { hintStaleS = HINT_STALE_S } = {}): Promise<Swept> {
  const { db, log } = platform
  const takenOver = await takeOverExpired(platform)
  const hints = await db.query<Hint>(DUE, [hintStaleS, HINTS_MAX])
  const sent = (await sendHints(platform, hints)) + (await sendBackfillHints(platform, hintStaleS))
  await finishBackfills(db, null)
  await reconcileAlerts(db)
  await tellAlerts(platform)
  const [health] = await db.query<Record<string, unknown>>(HEALTH)
  log.info('health', { ...health, taken_over: takenOver, hints_sent: sent })
  return { takenOver, sent }
}

/** Takes over what workers that are gone left (of one backfill, or all of it); returns how many ingests. */
export async function takeOverExpired(
  { db, log, settings }: Platform,
  backfillId: string | null = null,
): Promise<number> {
  const takenOver = await db.query<{ sourceIngestId: string; state: string; epoch: number }>(TAKE_OVER, [
    settings.quarantineAttempts,
    settings.quarantineSeconds,
    backfillId,
  ])
  for (const { sourceIngestId, state, epoch } of takenOver) {
    log.warn('lease_taken_over', { source_ingest_id: sourceIngestId, state, epoch })
  }
  return takenOver.length
}

/** One tick of the sweep, as a pipeline run. */
export async function sweepTick(platform: Platform): Promise<Swept> {
  return withPipelineRun(platform, 'sweep', () => sweep(platform))
}

const EXPIRE_OWN: Statement = {
  name: 'expire_own_leases',
  text: `
update provenance.source_ingest
   set lease_expires_at = case when starts_with(claimed_by, $1::text) then now() - interval '1 second' else lease_expires_at end,
       queued_at = null
 where state in ('planned', 'landing', 'landed', 'curating')`,
}

/**
 * For an instance that knows itself to be alone, at its start: what it held before it was killed is given up at once
 * and every hint is sent again, instead of after the lease and the host's message lock.
 */
export async function expireOwnLeases(platform: Platform): Promise<void> {
  await platform.db.query(EXPIRE_OWN, [`${platform.instance}/`])
}
