import { formatInstant, type Instant } from '../../instant.ts'
import type { WrittenPartition } from './partition-target.ts'

/** SQL: the written partitions that `parameter` holds as JSON. */
export function partitionRows(parameter: string): string {
  return `
  select * from jsonb_to_recordset(${parameter}::jsonb) as p (dataset text, partition_key text, path text, blob_version bigint,
         etag text, sha256 text, content_sha256 text, rows bigint, bytes bigint, min_ts timestamptz,
         max_ts timestamptz, transform_version int, contract_version int)`
}

/**
 * SQL: makes the rows of the CTE `partition` the newest known of their partitions, in key order, where the CTE `done`
 * (source_ingest_id, stream_id) has a row. Two publishes may come in another order than their PUTs: the newer blob stays.
 */
export const PLACE_PARTITIONS = `
  insert into curated.partition as p (dataset, partition_key, stream_id, path, blob_version, etag, sha256,
         content_sha256, rows, bytes, min_ts, max_ts, transform_version, contract_version, source_ingest_id)
  select w.dataset, w.partition_key, d.stream_id, w.path, w.blob_version, w.etag, w.sha256, w.content_sha256, w.rows,
         w.bytes, w.min_ts, w.max_ts, w.transform_version, w.contract_version, d.source_ingest_id
    from done d, partition w
   order by w.dataset, w.partition_key
  on conflict (dataset, partition_key) do update
     set blob_version = excluded.blob_version, etag = excluded.etag, sha256 = excluded.sha256,
         content_sha256 = excluded.content_sha256, rows = excluded.rows, bytes = excluded.bytes,
         min_ts = excluded.min_ts, max_ts = excluded.max_ts, transform_version = excluded.transform_version,
         contract_version = excluded.contract_version, source_ingest_id = excluded.source_ingest_id, updated_at = now()
   where p.blob_version < excluded.blob_version`

/** As `partitionRows` reads them. */
export function formatPartitions(partitions: readonly WrittenPartition[]): string {
  return JSON.stringify(partitions.map(toRow))
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
