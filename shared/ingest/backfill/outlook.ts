import type { Instant } from '../../instant.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import type { BackfillState } from './find.ts'
import { budgetKeys } from './pick.ts'

// A failed window that something else has covered since, or a person has accepted, is nobody's hole any more.
const OUTLOOK: Statement = {
  name: 'outlook_of_backfill',
  text: `
select b.state, now() as now,
       count(*) filter (where i.state <> 'cancelled') as windows,
       count(*) filter (where i.state = 'planned') as planned,
       count(*) filter (where i.state in ('landing', 'curating')) as "underWay",
       count(*) filter (where i.state = 'landed' and s.held_reason is null) as landed,
       count(*) filter (where i.state = 'landed' and s.held_reason is not null) as held,
       count(*) filter (where i.state = 'published') as published,
       count(*) filter (where i.state = 'empty') as empty,
       count(*) filter (where i.state = 'cancelled' and i.error_class is distinct from 'split') as cancelled,
       count(*) filter (where i.state in ('failed', 'quarantined')
                          and not (s.published + s.accepted) @> tstzrange(i.lo, i.hi)) as failed,
       coalesce(sum(i.records) filter (where i.state in ('published', 'empty')), 0)::bigint as rows,
       coalesce(sum(i.pages), 0)::bigint as calls,
       coalesce(sum(i.body_bytes), 0)::bigint as bytes,
       count(*) filter (where i.state in ('planned', 'landed') and s.paused) as "ofPausedStreams",
       min(greatest(i.next_attempt_at, case when i.state = 'planned' then r.blocked_until end, now()))
         filter (where not s.paused and (i.state = 'planned' or (i.state = 'landed' and s.held_reason is null))) as "nextAt"
  from ingest.backfill b
  left join provenance.source_ingest i using (backfill_id)
  left join ingest.stream s using (stream_id)
  left join ingest.rate_budget r on r.budget_key = $2::jsonb ->> s.source
 where b.backfill_id = $1::uuid
 group by b.backfill_id`,
}

/** Where a backfill stands, over all of its workers. */
export type Outlook = {
  readonly state: BackfillState
  readonly now: Instant
  /** All of them, whatever became of them; of a window that was split its halves. */
  readonly windows: number
  readonly planned: number
  /** Landing or curating. */
  readonly underWay: number
  readonly landed: number
  /** Landed, of a stream that is held: not waited for. */
  readonly held: number
  readonly published: number
  readonly empty: number
  readonly cancelled: number
  /** Failed or quarantined, and still a hole. */
  readonly failed: number
  readonly rows: number
  readonly calls: number
  readonly bytes: number
  /** Of `planned` and `landed`: they wait for a person. */
  readonly ofPausedStreams: number
  /** When the first of `planned` and `landed` may be claimed; null: none, or only of paused streams. */
  readonly nextAt: Instant | null
}

export async function readOutlook(platform: Platform, backfillId: string): Promise<Outlook> {
  const [outlook] = await platform.db.query<Outlook>(OUTLOOK, [backfillId, budgetKeys(platform)])
  if (outlook === undefined) throw new Error(`backfill ${backfillId}: expected to be there, got none`)
  return outlook
}

/** Windows that the end of the backfill waits for. */
export function remaining({ planned, underWay, landed }: Outlook): number {
  return planned + underWay + landed
}

const WAITING_MAX = 20

const WAITING: Statement = {
  name: 'waiting_of_backfill',
  text: `
select concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream, count(*) as windows,
       min(case when s.paused then null else greatest(i.next_attempt_at, r.blocked_until) end) as until,
       case when s.paused then 'the stream is paused: ' || s.paused_reason
            when bool_or(r.blocked_until > now()) then 'the quota of ' || s.source || ' is used up'
            else coalesce(max(i.error_summary), 'waits for a worker') end as reason
  from provenance.source_ingest i
  join ingest.stream s using (stream_id)
  left join ingest.rate_budget r on r.budget_key = $2::jsonb ->> s.source
 where i.backfill_id = $1::uuid and (i.state = 'planned' or (i.state = 'landed' and s.held_reason is null))
 group by s.stream_id
 order by stream
 limit ${WAITING_MAX}`,
}

/** What keeps the windows of one stream waiting. */
export type Waiting = {
  readonly stream: string
  readonly windows: number
  /** When the first of them may be tried; null where a person must act, or nothing keeps it. */
  readonly until: Instant | null
  readonly reason: string
}

export async function readWaiting(platform: Platform, backfillId: string): Promise<readonly Waiting[]> {
  return platform.db.query<Waiting>(WAITING, [backfillId, budgetKeys(platform)])
}
