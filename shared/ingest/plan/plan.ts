import { v7 as uuidv7 } from 'uuid'
import { formatInstant, type Instant } from '../../instant.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { type Expectations, NO_EXPECTATIONS } from './expectations.ts'
import { liveFrom, retainedFrom } from './retention.ts'

/** Windows older than the newest that may be planned or landing at a time, so that history never crowds out today. */
const OLDER_WINDOWS_MAX = 8
/** Streams planned in one transaction: their rows are locked meanwhile. */
const STREAMS_PER_BATCH = 500

const LOCK_BATCH: Statement = {
  name: 'lock_streams_to_plan',
  text: `
select stream_id as "streamId"
  from ingest.stream
 where stream_id > $1::bigint and not paused and interval_s is not null
   and ($3::bigint[] is null or stream_id = any($3::bigint[])) and not stream_id = any($4::bigint[])
 order by stream_id
 limit $2::int
   for update`,
}

// What the two statements below share: per stream its range to plan, and the windows that are somebody's already.
// The end moves only when the stream is due; holes behind it are planned at every tick. What the provider no longer
// keeps is not asked for: it is the alert's. Materialized: inlined, `taken` was made again for every row
// that it met. A thousand streams took over a minute instead of 3 s once another lane had planned as many windows.
const RANGES = `
with range as materialized (
  select s.*,
         case when s.next_plan_at is null or s.next_plan_at <= now() then true else false end as due,
         greatest(${liveFrom('s')}, ${retainedFrom('s')}) as first_lo,
         least(s.until, case when s.next_plan_at is null or s.next_plan_at <= now()
           then to_timestamp(floor(extract(epoch from now() - make_interval(secs => s.settle_lag_s)) / s.granularity_s) * s.granularity_s)
           else s.planned_until end) as last_hi
    from ingest.stream s
   where s.stream_id = any($1::bigint[])
), taken as materialized (
  select i.stream_id, range_agg(tstzrange(i.lo, i.hi)) as windows,
         count(*) filter (where i.state in ('planned', 'landing') and i.lane = 'live') as open
    from provenance.source_ingest i
   where i.stream_id = any($1::bigint[]) and i.lo is not null
     and i.state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined')
   group by i.stream_id
)`

// A live window that no worker has begun grows to the new end rather than being followed by another.
const WIDEN: Statement = {
  name: 'widen_planned_window',
  text: `${RANGES}, newest as (
  select distinct on (i.stream_id) i.source_ingest_id, i.hi,
         least(r.last_hi, i.lo + make_interval(secs => r.max_window_s)) as new_hi
    from provenance.source_ingest i
    join range r using (stream_id)
    join taken t using (stream_id)
   where i.state = 'planned' and i.lane = 'live' and i.hi < r.last_hi and i.hi >= r.first_lo
     and i.hi - i.lo < make_interval(secs => r.max_window_s)
     and not (r.fetched + r.accepted + t.windows) && tstzrange(i.hi, r.last_hi)
   order by i.stream_id, i.hi desc
)
update provenance.source_ingest i
   set hi = n.new_hi
  from newest n
 where i.source_ingest_id = n.source_ingest_id and i.state = 'planned' and i.hi < n.new_hi
returning i.source_ingest_id`,
}

// Holes, cut to the source's largest window from their newest end: the newest piece always, older ones up to the limit.
const PIECES: Statement = {
  name: 'pieces_to_plan',
  text: `${RANGES}, hole as (
  select r.stream_id, r.params, r.last_hi, r.max_window_s, coalesce(t.open, 0) as open,
         lower(h) as lo, upper(h) as hi
    from range r
    left join taken t using (stream_id),
         unnest(tstzmultirange(tstzrange(r.first_lo, r.last_hi)) - r.fetched - r.accepted
                - coalesce(t.windows, '{}'::tstzmultirange)) as h
   where r.first_lo < r.last_hi
), piece as (
  select stream_id, params, last_hi, open,
         greatest(lo, hi - make_interval(secs => (n + 1) * max_window_s::float8)) as lo,
         hi - make_interval(secs => n * max_window_s::float8) as hi
    from hole, generate_series(0, least($2::int, ceil(extract(epoch from hi - lo) / max_window_s)::int - 1)) as n
), ranked as (
  select *, (row_number() over (partition by stream_id order by hi = last_hi desc, hi desc))
            - (max(case when hi = last_hi then 1 else 0 end) over (partition by stream_id)) as older_rank
    from piece
)
select stream_id as "streamId", lo, hi
  from ranked
 where older_rank <= $2::int - open or hi = last_hi
 order by stream_id, hi desc`,
}

const INSERT: Statement = {
  name: 'insert_planned',
  text: `
insert into provenance.source_ingest
       (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by, pipeline_run_id, expected_records,
        expected_schema)
select p.id, p.stream_id, 'live', p.lo, p.hi, s.params, $2::text, $3::uuid,
       round(p.records_per_second * extract(epoch from p.hi - p.lo)), p.schema
  from jsonb_to_recordset($1::jsonb) as p (id uuid, stream_id bigint, lo timestamptz, hi timestamptz,
                                           records_per_second float8, schema text)
  join ingest.stream s using (stream_id)
 order by p.stream_id, p.lo
on conflict do nothing
returning source_ingest_id as "sourceIngestId"`,
}

const MARK_PLANNED: Statement = {
  name: 'mark_planned',
  text: `${RANGES}
update ingest.stream s
   set next_plan_at = now() + make_interval(secs => s.interval_s), planned_until = r.last_hi
  from range r
 where r.stream_id = s.stream_id and r.due`,
}

export type PlanResult = {
  readonly streams: number
  readonly planned: readonly string[]
  readonly widened: number
}

export type PlanRun = {
  readonly initiatedBy: string
  readonly pipelineRunId: string | null
  /** No other stream is planned; absent: all are. */
  readonly streamIds?: readonly number[]
  readonly expectations?: Expectations
}

type Piece = { readonly streamId: number; readonly lo: Instant; readonly hi: Instant }

/**
 * Plans what is missing: `[origin, floor(now − settle lag))` minus what is fetched, accepted, active, failed or
 * quarantined, for every stream that is not paused. The ids returned are to be sent to the queue `land`.
 */
export async function planWindows(db: Database, run: PlanRun): Promise<PlanResult> {
  const planned: string[] = []
  let streams = 0
  let widened = 0
  for (let after = 0, more = true; more; ) {
    const batch = await db.transaction((tx) => planBatch(tx, after, run))
    planned.push(...batch.planned)
    streams += batch.streamIds.length
    widened += batch.widened
    after = batch.streamIds.at(-1) ?? after
    more = batch.streamIds.length === STREAMS_PER_BATCH
  }
  return { streams, planned, widened }
}

async function planBatch(tx: Queryable, after: number, run: PlanRun) {
  const { heldBack } = run.expectations ?? NO_EXPECTATIONS
  const values = [after, STREAMS_PER_BATCH, run.streamIds ?? null, heldBack]
  const locked = await tx.query<{ streamId: number }>(LOCK_BATCH, values)
  const streamIds = locked.map(({ streamId }) => streamId)
  if (streamIds.length === 0) return { streamIds, planned: [], widened: 0 }
  // Statements after the lock see what was committed while we waited for it.
  const widened = await tx.query(WIDEN, [streamIds])
  const pieces = await tx.query<Piece>(PIECES, [streamIds, OLDER_WINDOWS_MAX])
  const planned = pieces.length === 0 ? [] : await insertPieces(tx, pieces, run)
  await tx.query(MARK_PLANNED, [streamIds])
  return { streamIds, planned, widened: widened.length }
}

async function insertPieces(tx: Queryable, pieces: readonly Piece[], run: PlanRun): Promise<readonly string[]> {
  const { known } = run.expectations ?? NO_EXPECTATIONS
  const rows = pieces.map(({ streamId, lo, hi }) => ({
    id: uuidv7(),
    stream_id: streamId,
    lo: formatInstant(lo),
    hi: formatInstant(hi),
    records_per_second: known.get(streamId)?.recordsPerSecond,
    schema: known.get(streamId)?.schema,
  }))
  const inserted = await tx.query<{ sourceIngestId: string }>(INSERT, [
    JSON.stringify(rows),
    run.initiatedBy,
    run.pipelineRunId,
  ])
  return inserted.map(({ sourceIngestId }) => sourceIngestId)
}
