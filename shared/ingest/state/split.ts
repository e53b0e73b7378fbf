import { v7 as uuidv7 } from 'uuid'
import { ThrottledError } from '../../errors.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Claim } from './claim.ts'
import { nextState } from './state-machine.ts'

/** The window has more pages, or takes longer, than one ingest may: two halves take its place. */
export class WindowTooLargeError extends Error {
  override readonly name = 'WindowTooLargeError'
}

/** The provider no longer keeps all of the window: the planner plans again what is still there. */
export class WindowExpiredError extends Error {
  override readonly name = 'WindowExpiredError'
}

/** The quota was gone in the middle of a chain, which starts anew with every attempt: halves need less of it at once. */
export class QuotaGoneError extends ThrottledError {}

// Parent first: its window is free before the halves take it. The middle lies on the stream's granularity.
const SPLIT: Statement = {
  name: 'split_window',
  text: `
with locked as materialized (
  select stream_id, granularity_s from ingest.stream where stream_id = $3::bigint for update
), parent as (
  update provenance.source_ingest i
     set state = ${nextState('i', 'split')}, finished_at = now(), claimed_by = null, lease_expires_at = null,
         error_class = 'split', error_summary = $4::text
    from locked l
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.stream_id = l.stream_id
     and ${nextState('i', 'split')} is not null
     and extract(epoch from i.hi - i.lo) >= 2 * l.granularity_s
  returning i.*, i.lo + make_interval(secs => floor(extract(epoch from i.hi - i.lo) / 2 / l.granularity_s) * l.granularity_s) as middle
)
select source_ingest_id as "sourceIngestId", lo, middle, hi from parent`,
}

// They are planned as their parent was: a lookback's pieces stay together, and a hole stays as old as it is.
const PLAN_HALVES: Statement = {
  name: 'plan_halves',
  text: `
insert into provenance.source_ingest
       (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by, backfill_id, pipeline_run_id,
        planned_at, planned_head, split_of)
select h.id, i.stream_id, i.lane, h.lo, h.hi, i.parameters, i.initiated_by, i.backfill_id, i.pipeline_run_id,
       i.planned_at, i.planned_head, i.source_ingest_id
  from provenance.source_ingest i,
       (values ($2::uuid, $4::timestamptz, $5::timestamptz), ($3::uuid, $5::timestamptz, $6::timestamptz)) as h (id, lo, hi)
 where i.source_ingest_id = $1::uuid`,
}

type Parent = { readonly lo: bigint; readonly middle: bigint; readonly hi: bigint }

/**
 * `landing → cancelled` with error class `split`, and two planned halves, in one transaction that the caller opens.
 * Returns their ids; empty where the window is one granule, or the lease is lost.
 */
export async function splitWindow(tx: Queryable, claim: Claim, reason: string): Promise<readonly string[]> {
  const [parent] = await tx.query<Parent>(SPLIT, [claim.sourceIngestId, claim.epoch, claim.streamId, reason])
  if (parent === undefined) return []
  const halves = [uuidv7(), uuidv7()]
  await tx.query(PLAN_HALVES, [claim.sourceIngestId, ...halves, parent.lo, parent.middle, parent.hi])
  return halves
}
