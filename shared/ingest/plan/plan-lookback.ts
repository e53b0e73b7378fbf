import { v7 as uuidv7 } from 'uuid'
import { formatInstant, type Instant } from '../../instant.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { retainedFrom } from './retention.ts'

/** Streams planned in one transaction: their rows are locked meanwhile. */
const STREAMS_PER_BATCH = 500

// Whether one is due is asked after the lock: who waited here for another planner finds that it is not.
const LOCK_BATCH: Statement = {
  name: 'lock_streams_to_look_back',
  text: `
select stream_id as "streamId"
  from ingest.stream
 where stream_id > $1::bigint and not paused and interval_s is not null and lookback_s > 0
 order by stream_id
 limit $2::int
   for update`,
}

// Nothing is due before something is published. A stream that has reached its end is read again until what the provider
// may still correct has been read after it was final.
const DUE = `
with due as (
  select s.*, upper(s.published) as head
    from ingest.stream s
   where s.stream_id = any($1::bigint[]) and not isempty(s.published)
     and (s.next_lookback_at is null or s.next_lookback_at <= now())
     and not coalesce(upper(s.published) >= s.until
                      and exists (select from provenance.source_ingest i
                                   where i.stream_id = s.stream_id and i.hi >= s.until and i.state in ('published', 'empty')
                                     and i.started_at >= s.until + make_interval(secs => s.lookback_s)), false)
)`

// Counted back from the head that the newest lookback saw, so that a head that jumps leaves nothing out; from the
// present one where coverage was taken back since. Pieces are cut from their newest end.
const PIECES: Statement = {
  name: 'pieces_to_look_back',
  text: `${DUE}, range as (
  select d.*, greatest(d.origin, ${retainedFrom('d')},
                       least(d.head, (select i.planned_head
                                        from provenance.source_ingest i
                                       where i.stream_id = d.stream_id and i.lane = 'lookback'
                                         and i.state in ('published', 'empty') and i.planned_head is not null
                                       order by i.planned_at desc
                                       limit 1)) - make_interval(secs => d.lookback_s)) as first_lo
    from due d
), free as (
  select r.stream_id, r.head, r.max_window_s, lower(f) as lo, upper(f) as hi
    from range r,
         unnest(r.published * tstzmultirange(tstzrange(r.first_lo, r.head))
                - coalesce((select range_agg(tstzrange(i.lo, i.hi))
                              from provenance.source_ingest i
                             where i.stream_id = r.stream_id and i.lo is not null
                               and i.state in ('planned', 'landing', 'landed', 'curating')), '{}')) as f
   where r.first_lo < r.head
)
select stream_id as "streamId", head,
       greatest(lo, hi - make_interval(secs => (n + 1) * max_window_s::float8)) as lo,
       hi - make_interval(secs => n * max_window_s::float8) as hi
  from free, generate_series(0, ceil(extract(epoch from hi - lo) / max_window_s)::int - 1) as n`,
}

// The newest first: so they are hinted.
const INSERT: Statement = {
  name: 'insert_lookback',
  text: `
insert into provenance.source_ingest
       (source_ingest_id, stream_id, lane, lo, hi, planned_head, parameters, initiated_by, pipeline_run_id)
select p.id, p.stream_id, 'lookback', p.lo, p.hi, p.head, s.params, $2::text, $3::uuid
  from jsonb_to_recordset($1::jsonb) as p (id uuid, stream_id bigint, lo timestamptz, hi timestamptz, head timestamptz)
  join ingest.stream s using (stream_id)
 order by p.stream_id, p.hi desc
on conflict do nothing
returning source_ingest_id as "sourceIngestId"`,
}

// A little early: a timer that fires a moment before its time yesterday's run would otherwise skip a day.
const MARK_PLANNED: Statement = {
  name: 'mark_looked_back',
  text: `${DUE}
update ingest.stream s
   set next_lookback_at = now() + make_interval(secs => d.lookback_every_s)
                          - least(make_interval(secs => d.lookback_every_s / 10.0), interval '1 hour')
  from due d
 where d.stream_id = s.stream_id`,
}

export type LookbackPlan = {
  /** Streams that may be read again, due or not. */
  readonly streams: number
  readonly planned: readonly string[]
}

type Run = { readonly initiatedBy: string; readonly pipelineRunId: string | null }

type Piece = { readonly streamId: number; readonly lo: Instant; readonly hi: Instant; readonly head: Instant }

/**
 * Plans to read again what is published of `[h − lookback, head)`, minus active windows, for every stream that is due;
 * h is the head when the newest published lookback was planned. The ids returned are to be sent to the queue `land`.
 */
export async function planLookbacks(db: Database, run: Run): Promise<LookbackPlan> {
  const planned: string[] = []
  let streams = 0
  for (let after = 0, more = true; more; ) {
    const batch = await db.transaction((tx) => planBatch(tx, after, run))
    planned.push(...batch.planned)
    streams += batch.streamIds.length
    after = batch.streamIds.at(-1) ?? after
    more = batch.streamIds.length === STREAMS_PER_BATCH
  }
  return { streams, planned }
}

async function planBatch(tx: Queryable, after: number, run: Run) {
  const locked = await tx.query<{ streamId: number }>(LOCK_BATCH, [after, STREAMS_PER_BATCH])
  const streamIds = locked.map(({ streamId }) => streamId)
  if (streamIds.length === 0) return { streamIds, planned: [] }
  // Statements after the lock see what was committed while we waited for it.
  const pieces = await tx.query<Piece>(PIECES, [streamIds])
  const planned = pieces.length === 0 ? [] : await insertPieces(tx, pieces, run)
  await tx.query(MARK_PLANNED, [streamIds])
  return { streamIds, planned }
}

async function insertPieces(tx: Queryable, pieces: readonly Piece[], run: Run): Promise<readonly string[]> {
  const rows = pieces.map(({ streamId, lo, hi, head }) => ({
    id: uuidv7(),
    stream_id: streamId,
    lo: formatInstant(lo),
    hi: formatInstant(hi),
    head: formatInstant(head),
  }))
  const inserted = await tx.query<{ sourceIngestId: string }>(INSERT, [
    JSON.stringify(rows),
    run.initiatedBy,
    run.pipelineRunId,
  ])
  return inserted.map(({ sourceIngestId }) => sourceIngestId)
}
