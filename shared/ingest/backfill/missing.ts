import { formatInstant, type Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Window } from '../../sources/contract.ts'
import { ACTIVE_STATES } from '../state/state-machine.ts'

const ACTIVE = ACTIVE_STATES.map((state) => `'${state}'`).join(', ')

const ASKED = `
with asked as (
  select * from jsonb_to_recordset($1::jsonb) as a (stream_id bigint, lo timestamptz, hi timestamptz)
), active as materialized (
  select a.stream_id, i.lane, i.backfill_id, greatest(i.lo, a.lo) as lo, least(i.hi, a.hi) as hi
    from asked a join provenance.source_ingest i using (stream_id)
   where i.state in (${ACTIVE}) and i.lo < a.hi and i.hi > a.lo
)`

// $2: everything again, also what is fetched or accepted.
const MISSING: Statement = {
  name: 'missing_for_backfill',
  text: `${ASKED}
select a.stream_id as "streamId", lower(r) as lo, upper(r) as hi
  from asked a join ingest.stream s using (stream_id),
       unnest(tstzmultirange(tstzrange(a.lo, a.hi))
              - case when $2::boolean then '{}'::tstzmultirange else s.fetched + s.accepted end
              - coalesce((select range_agg(tstzrange(w.lo, w.hi)) from active w where w.stream_id = a.stream_id),
                         '{}'::tstzmultirange)) as r
 order by a.stream_id, lo`,
}

const IN_THE_WAY: Statement = {
  name: 'active_in_backfill',
  text: `${ASKED}
select stream_id as "streamId", lane, backfill_id as "backfillId", count(*) as windows, min(lo) as lo, max(hi) as hi
  from active
 group by stream_id, lane, backfill_id
 order by stream_id, min(lo)`,
}

export type StreamRange = { readonly streamId: number; readonly range: Window }

export type MissingRange = { readonly streamId: number } & Window

/** Windows of one lane, or of one backfill, that are active in the range that was asked for. */
export type InTheWay = {
  readonly streamId: number
  readonly lane: string
  readonly backfillId: string | null
  readonly windows: number
  readonly lo: Instant
  readonly hi: Instant
}

/** What a backfill has to fetch, and what is left to the ingests that are active there. */
export async function readMissing(
  tx: Queryable,
  ranges: readonly StreamRange[],
  again: boolean,
): Promise<{ readonly missing: readonly MissingRange[]; readonly inTheWay: readonly InTheWay[] }> {
  const json = JSON.stringify(
    ranges.map(({ streamId, range }) => ({
      stream_id: streamId,
      lo: formatInstant(range.lo),
      hi: formatInstant(range.hi),
    })),
  )
  return {
    missing: await tx.query<MissingRange>(MISSING, [json, again]),
    inTheWay: await tx.query<InTheWay>(IN_THE_WAY, [json]),
  }
}
