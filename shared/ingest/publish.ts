import { LeaseLostError, PermanentError } from '../errors.ts'
import { formatInstant, type Instant } from '../instant.ts'
import { storableJson } from '../json.ts'
import type { Queryable, Statement } from '../postgres/database.ts'
import type { CurateClaim } from './claim.ts'
import type { ParsedIngest } from './parse-pages.ts'
import { nextState } from './state-machine.ts'

/** A partition file as it now stands in the lake. */
export type WrittenPartition = {
  readonly dataset: string
  readonly partitionKey: string
  readonly path: string
  readonly blobVersion: number
  readonly etag: string
  readonly sha256: string
  readonly contentSha256: string
  readonly rows: number
  readonly bytes: number
  readonly minTs: Instant | null
  readonly maxTs: Instant | null
  readonly transformVersion: number
  readonly contractVersion: number
}

/**
 * `curating → published`, in one statement and under the stream's lock: rejects, counts, coverage and the partitions in
 * key order. It does nothing at all unless the records that raw holds are exactly the sum of what became of them (I6).
 * The outcomes come from `partition_ingest`, where they stand since before the first PUT, so a retry repeats them.
 */
const PUBLISH: Statement = {
  name: 'publish_ingest',
  text: `
with locked as materialized (
  select stream_id, origin, published + accepted as covered from ingest.stream where stream_id = $3::bigint for update
), partition as materialized (
  select * from jsonb_to_recordset($7::jsonb) as p (dataset text, partition_key text, path text, blob_version bigint,
         etag text, sha256 text, content_sha256 text, rows bigint, bytes bigint, min_ts timestamptz,
         max_ts timestamptz, transform_version int, contract_version int)
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
  returning i.source_ingest_id, i.stream_id, i.lo, i.hi
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
), placed as (
  insert into curated.partition as p (dataset, partition_key, stream_id, path, blob_version, etag, sha256,
         content_sha256, rows, bytes, min_ts, max_ts, transform_version, contract_version, source_ingest_id)
  select dataset, partition_key, d.stream_id, path, blob_version, etag, sha256, content_sha256, rows, bytes, min_ts,
         max_ts, transform_version, contract_version, d.source_ingest_id
    from done d, partition
   order by dataset, partition_key
  on conflict (dataset, partition_key) do update
     set blob_version = excluded.blob_version, etag = excluded.etag, sha256 = excluded.sha256,
         content_sha256 = excluded.content_sha256, rows = excluded.rows, bytes = excluded.bytes,
         min_ts = excluded.min_ts, max_ts = excluded.max_ts, transform_version = excluded.transform_version,
         contract_version = excluded.contract_version, source_ingest_id = excluded.source_ingest_id, updated_at = now()
   where p.blob_version < excluded.blob_version
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
    JSON.stringify(partitions.map(toRow)),
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

function toRow(partition: WrittenPartition) {
  const time = (instant: Instant | null) => (instant === null ? null : formatInstant(instant))
  return {
    dataset: partition.dataset,
    partition_key: partition.partitionKey,
    path: partition.path,
    blob_version: partition.blobVersion,
    etag: partition.etag,
    sha256: partition.sha256,
    content_sha256: partition.contentSha256,
    rows: partition.rows,
    bytes: partition.bytes,
    min_ts: time(partition.minTs),
    max_ts: time(partition.maxTs),
    transform_version: partition.transformVersion,
    contract_version: partition.contractVersion,
  }
}
