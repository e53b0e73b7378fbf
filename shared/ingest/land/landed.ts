import { LeaseLostError, PermanentError } from '../../errors.ts'
import { ENDED_INGEST, TELL_INGESTION } from '../../metadata/producers/ingestion.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Claim } from '../state/claim.ts'
import { nextState } from '../state/state-machine.ts'

/**
 * `landing → landed` (or `empty`), in one statement and under the stream's lock: the chain of pages is proven complete
 * from what was stored, and the window becomes coverage. A complete answer without records covers at once; a file
 * without records is curated like any other, because publishing it takes the place of the versions before it.
 *
 * The proof: pages 0…n−1 without a gap, each asked for with the token that the one before named, the last one and only
 * the last one final, and none that was kept merely as evidence.
 */
const LAND: Statement = {
  name: 'land_ingest',
  text: `
with locked as materialized (
  select s.stream_id, s.origin, s.published + s.accepted as covered
    from ingest.stream s
   where s.stream_id = (select stream_id from provenance.source_ingest where source_ingest_id = $1::uuid)
     for update
), chain as (
  select count(*)::int as pages, sum(record_count)::bigint as records, sum(body_bytes)::bigint as body_bytes,
         sum(record_count) = 0 and exists (select from provenance.source_ingest
                                            where source_ingest_id = $1::uuid and lo is not null) as empty,
         coalesce(bool_and(page_no = position - 1 and record_count is not null
                           and token_sha256 is not distinct from expected_token
                           and is_last = (position = of_pages)), false) as complete
    from (select *, row_number() over w as position, count(*) over () as of_pages,
                 lag(next_token_sha256) over w as expected_token
            from provenance.raw_page
           where source_ingest_id = $1::uuid and epoch = $2::int
          window w as (order by page_no)) page
), done as (
  update provenance.source_ingest i
     set state = case when chain.empty then ${nextState('i', 'landEmpty')} else ${nextState('i', 'land')} end,
         landed_epoch = i.epoch, pages = chain.pages, records = chain.records, body_bytes = chain.body_bytes,
         attempts = 0, attempting_since = null, claimed_by = null, lease_expires_at = null,
         error_class = null, error_summary = null,
         queued_at = now(),
         finished_at = case when chain.empty then now() end,
         checkpoint_after = case when chain.empty then
           ingest.checkpoint(locked.origin, locked.covered + tstzmultirange(tstzrange(i.lo, i.hi))) end,
         inserted = z.zero, updated = z.zero, unchanged = z.zero, superseded = z.zero, rejected = z.zero, outside = z.zero
    from locked, chain, lateral (select case when chain.empty then 0 end as zero) z
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.stream_id = locked.stream_id
     and ${nextState('i', 'land')} is not null and chain.complete
  returning ${ENDED_INGEST}
), covered as (
  update ingest.stream s
     set fetched = s.fetched + tstzmultirange(tstzrange(d.lo, d.hi)),
         published = case when d.state = 'empty' then s.published + tstzmultirange(tstzrange(d.lo, d.hi)) else s.published end,
         updated_at = now()
    from done d
   where s.stream_id = d.stream_id and d.lo is not null
), told as (${TELL_INGESTION}
)
select done.state, chain.pages, chain.complete,
       exists (select from provenance.source_ingest i
                where i.source_ingest_id = $1::uuid and i.epoch = $2::int and ${nextState('i', 'land')} is not null) as mine
  from chain left join done on true`,
}

type Landing = {
  readonly state: 'landed' | 'empty' | null
  readonly pages: number
  readonly complete: boolean
  /** As the statement began. */
  readonly mine: boolean
}

/** Returns the new state. Throws LeaseLostError, or PermanentError where the chain is not complete. */
export async function markLanded(db: Queryable, claim: Claim): Promise<'landed' | 'empty'> {
  const [row] = await db.query<Landing>(LAND, [claim.sourceIngestId, claim.epoch])
  if (row?.state) return row.state
  if (row?.mine && !row.complete) {
    throw new PermanentError(
      `ingest ${claim.sourceIngestId} epoch ${claim.epoch}: expected a complete chain of pages, got ${row.pages} that are none`,
    )
  }
  throw new LeaseLostError(
    `ingest ${claim.sourceIngestId}: expected epoch ${claim.epoch} to be landing, another worker holds it or it is done`,
  )
}
