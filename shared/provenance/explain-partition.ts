import type { BlobFacts } from '../azure/blobs.ts'
import { ConfigError } from '../errors.ts'
import { readPartitionListing } from '../ingest/curate/partition-listing.ts'
import type { Instant } from '../instant.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import type { PartitionPlace } from './explain-row.ts'

/** A partition as it was last published. */
export type PublishedFile = {
  readonly stream: string
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
  readonly updatedAt: Instant
  /** Who wrote it last. */
  readonly sourceIngestId: string
}

/** An ingest whose rows may be in the partition. */
export type ListedThere = {
  readonly sourceIngestId: string
  readonly lane: string
  readonly state: string
  /** current: its rows count · superseded, withdrawn: a rebuild leaves them out */
  readonly standing: 'current' | 'superseded' | 'withdrawn'
  readonly lo: Instant | null
  readonly hi: Instant | null
  readonly file: { readonly name: string; readonly version: number } | null
  readonly landedEpoch: number
  readonly transformVersion: number
  readonly pages: number
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly superseded: number
  readonly finishedAt: Instant | null
}

export type RebuildThere = {
  readonly sourceIngestId: string
  readonly state: string
  readonly byMark: boolean
  readonly initiatedBy: string
  readonly plannedAt: Instant
  readonly finishedAt: Instant | null
  readonly transformVersion: number | null
  readonly added: number | null
  readonly changed: number | null
  readonly unchanged: number | null
  readonly removed: number | null
  readonly error: string | null
}

export type PartitionExplanation = {
  readonly path: string
  /** Null where it was never published. */
  readonly published: PublishedFile | null
  /** What is there now; null where nothing is. */
  readonly blob: Omit<BlobFacts, 'path'> | null
  /** The blob is the one that was published, by ETag and by the hash in its metadata. */
  readonly asPublished: boolean
  /** An ingest or a rebuild of it is not published yet. */
  readonly pending: boolean
  readonly ingests: readonly ListedThere[]
  readonly rebuilds: readonly RebuildThere[]
}

const PUBLISHED: Statement = {
  name: 'explain_published',
  text: `
select concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream, p.blob_version as "blobVersion", p.etag,
       p.sha256, p.content_sha256 as "contentSha256", p.rows, p.bytes, p.min_ts as "minTs", p.max_ts as "maxTs",
       p.transform_version as "transformVersion", p.contract_version as "contractVersion", p.updated_at as "updatedAt",
       p.source_ingest_id as "sourceIngestId"
  from curated.partition p join ingest.stream s using (stream_id)
 where p.dataset = $1::text and p.partition_key = $2::text`,
}

const LISTED: Statement = {
  name: 'explain_listed',
  text: `
select i.source_ingest_id as "sourceIngestId", i.lane, i.state,
       case when i.withdrawn_at is not null then 'withdrawn' when i.superseded_by is not null then 'superseded'
            else 'current' end as standing,
       i.lo, i.hi,
       case when i.lane = 'import' and i.lo is null
            then jsonb_build_object('name', i.parameters ->> 'name', 'version', (i.parameters ->> 'version')::int) end as file,
       l.landed_epoch as "landedEpoch", l.transform_version as "transformVersion",
       (select count(*) from provenance.raw_page p
         where p.source_ingest_id = l.source_ingest_id and p.epoch = l.landed_epoch) as pages,
       l.inserted, l.updated, l.unchanged, l.superseded, i.finished_at as "finishedAt"
  from curated.partition_ingest l join provenance.source_ingest i using (source_ingest_id)
 where l.dataset = $1::text and l.partition_key = $2::text
 order by i.lo, i.planned_at, i.source_ingest_id`,
}

const REBUILDS: Statement = {
  name: 'explain_rebuilds',
  text: `
select i.source_ingest_id as "sourceIngestId", i.state, i.by_mark as "byMark", i.initiated_by as "initiatedBy",
       i.planned_at as "plannedAt", i.finished_at as "finishedAt", i.transform_version as "transformVersion",
       i.inserted as added, i.updated as changed, i.unchanged, i.removed, i.error_summary as error
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where s.dataset = $1::text and i.partition_key = $2::text and i.lane = 'reprocess'
 order by i.planned_at, i.source_ingest_id`,
}

/** Who made a curated file, and what was made again. Throws ConfigError where nobody ever had rows in it. */
export async function explainPartition(
  { db, curated }: Platform,
  { dataset, partitionKey, path }: PartitionPlace,
): Promise<PartitionExplanation> {
  const name = [dataset.name, partitionKey]
  const blob = await curated.head(path)
  const { pending } = await readPartitionListing(db, dataset.name, partitionKey)
  const [published = null] = await db.query<PublishedFile>(PUBLISHED, name)
  const ingests = await db.query<ListedThere>(LISTED, name)
  const rebuilds = await db.query<RebuildThere>(REBUILDS, name)
  if (published === null && blob === null && ingests.length === 0) {
    throw new ConfigError([`path: expected a curated file that somebody wrote, got ${path}`])
  }
  const asPublished = blob !== null && blob.etag === published?.etag && blob.metadata.sha256 === published.sha256
  return { path, published, blob: blob && factsOf(blob), asPublished, pending, ingests, rebuilds }
}

function factsOf({ path: _, ...facts }: BlobFacts): Omit<BlobFacts, 'path'> {
  return facts
}
