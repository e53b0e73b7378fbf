import { LeaseLostError, PermanentError } from '../../errors.ts'
import { storableJson } from '../../json.ts'
import { ENDED_INGEST, TELL_INGESTION } from '../../metadata/producers/ingestion.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { CurateClaim } from '../state/claim.ts'
import { nextState } from '../state/state-machine.ts'
import type { ParsedIngest } from './parse-pages.ts'
import type { WrittenPartition } from './partition-target.ts'
import { formatPartitions, PLACE_PARTITIONS, partitionRows } from './place-partitions.ts'

/**
 * `curating → published`, in one statement and under the stream's lock: rejects, counts, coverage, the partitions in key
 * order, and what is told of it. It does nothing at all unless the records that raw holds are exactly the sum of what became of them (I6).
 * The outcomes come from `partition_ingest`, where they stand since before the first PUT, so a retry repeats them.
 */
const PUBLISH: Statement = {
  name: 'publish_ingest',
  text: `
with locked as materialized (
  select stream_id, origin, published + accepted as covered from ingest.stream where stream_id = $3::bigint for update
), partition as materialized (${partitionRows('$7')}
), counts as (
  select coalesce(sum(inserted), 0)::bigint as inserted, coalesce(sum(updated), 0)::bigint as updated,
         coalesce(sum(unchanged), 0)::bigint as unchanged, coalesce(sum(superseded), 0)::bigint as superseded
    from curated.partition_ingest join partition using (dataset, partition_key)
   where source_ingest_id = $1::uuid
), done as (
  update provenance.source_ingest i
     set state = ${nextState('i', 'publish')}, finished_at = now(),
         inserted = c.inserted, updated = c.updated, unchanged = c.unchanged, superseded = c.superseded,
         rejected = $4::bigint, outside = $5::bigint,
         checkpoint_after = ingest.checkpoint(l.origin, case when i.lo is null then l.covered
                                                       else l.covered + tstzmultirange(tstzrange(i.lo, i.hi)) end),
         attempts = 0, attempting_since = null, claimed_by = null, lease_expires_at = null,
         error_class = null, error_summary = null
    from locked l, counts c
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.stream_id = l.stream_id
     and ${nextState('i', 'publish')} is not null
     and i.records = c.inserted + c.updated + c.unchanged + c.superseded + $4::bigint + $5::bigint
  returning ${ENDED_INGEST}
), covered as (
  update ingest.stream s
     set published = s.published + tstzmultirange(tstzrange(d.lo, d.hi)), updated_at = now()
    from done d
   where s.stream_id = d.stream_id and d.lo is not null
), rejected as (
  insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail, record)
  select d.source_ingest_id, r.page_no, r.ordinal, r.code, r.detail, r.record
    from done d, jsonb_to_recordset($6::jsonb) as r (page_no int, ordinal int, code text, detail text, record jsonb)
  on conflict do nothing
), placed as (${PLACE_PARTITIONS}
), told as (${TELL_INGESTION}
)
select (select count(*) from done) as published, i.state, i.epoch, i.records,
       c.inserted + c.updated + c.unchanged + c.superseded + $4::bigint + $5::bigint as accounted
  from counts c, provenance.source_ingest i
 where i.source_ingest_id = $1::uuid`,
}

type Outcome = {
  readonly published: number
  readonly state: string
  readonly epoch: number
  readonly records: number
  readonly accounted: number
}

/** Throws LeaseLostError, or PermanentError where the counts do not add up; nothing was changed then. */
export async function publish(
  db: Queryable,
  claim: CurateClaim,
  parsed: ParsedIngest,
  partitions: readonly WrittenPartition[],
): Promise<void> {
  const rejects = parsed.rejects.map(({ pageNo, ...reject }) => ({ page_no: pageNo, ...reject }))
  const [row] = await db.query<Outcome>(PUBLISH, [
    claim.sourceIngestId,
    claim.epoch,
    claim.streamId,
    parsed.rejects.length,
    parsed.outside,
    storableJson(rejects),
    formatPartitions(partitions),
  ])
  if (row?.published === 1) return
  if (row && row.state === 'curating' && row.epoch === claim.epoch && row.records !== row.accounted) {
    throw new PermanentError(
      `ingest ${claim.sourceIngestId}: expected ${row.records} records in raw to be accounted for, got ${row.accounted}`,
    )
  }
  throw new LeaseLostError(
    `ingest ${claim.sourceIngestId}: expected epoch ${claim.epoch} to be curating, got epoch ${row?.epoch} ${row?.state}`,
  )
}
