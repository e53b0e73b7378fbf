import { LeaseLostError, PermanentError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { CurateClaim, ManifestPage } from '../state/claim.ts'

/** What the incoming records did to the file, per key. */
export type Outcomes = {
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly superseded: number
}

export type Listing = {
  /** Other current ingests whose rows may be in the partition. */
  readonly others: number
  /** Newest blob version that Postgres knows; 0 where the partition was never published. */
  readonly blobVersion: number
}

// Guarded by the epoch, and before every PUT: whose rows may be in the file is known before they are. A later try that
// finds rows of its own in the file ($10) keeps the counts it stored before, if they are of its own transform version.
const LIST: Statement = {
  name: 'list_in_partition',
  text: `
with mine as materialized (
  select source_ingest_id, landed_epoch
    from provenance.source_ingest
   where source_ingest_id = $1::uuid and epoch = $2::int and state = 'curating'
     for update
), listed as (
  insert into curated.partition_ingest as p (dataset, partition_key, source_ingest_id, landed_epoch, transform_version,
         inserted, updated, unchanged, superseded)
  select $3::text, $4::text, source_ingest_id, landed_epoch, $5::int, $6::bigint, $7::bigint, $8::bigint, $9::bigint
    from mine
  on conflict (dataset, partition_key, source_ingest_id) do update
     set landed_epoch = excluded.landed_epoch, transform_version = excluded.transform_version,
         inserted = excluded.inserted, updated = excluded.updated,
         unchanged = excluded.unchanged, superseded = excluded.superseded
   where not ($10::boolean and p.transform_version = excluded.transform_version)
)
select (select count(*) from curated.partition_ingest l join provenance.source_ingest i using (source_ingest_id)
         where l.dataset = $3::text and l.partition_key = $4::text and l.source_ingest_id <> mine.source_ingest_id
           and i.superseded_by is null and i.withdrawn_at is null) as others,
       coalesce((select blob_version from curated.partition
                  where dataset = $3::text and partition_key = $4::text), 0) as "blobVersion"
  from mine`,
}

export type ListRequest = {
  readonly claim: CurateClaim
  readonly partitionKey: string
  readonly transformVersion: number
  readonly outcomes: Outcomes
  /** Rows of this ingest were found in the file: an earlier try of it has counted them. */
  readonly keepCounts: boolean
}

/** Writes the ingest down as one whose rows may be in the partition. Throws LeaseLostError. */
export async function listInPartition(db: Queryable, request: ListRequest): Promise<Listing> {
  const { claim, partitionKey, transformVersion, outcomes, keepCounts } = request
  const [row] = await db.query<Listing>(LIST, [
    claim.sourceIngestId,
    claim.epoch,
    claim.dataset,
    partitionKey,
    transformVersion,
    outcomes.inserted,
    outcomes.updated,
    outcomes.unchanged,
    outcomes.superseded,
    keepCounts,
  ])
  if (row !== undefined) return row
  throw new LeaseLostError(`ingest ${claim.sourceIngestId}: epoch ${claim.epoch} may no longer write ${partitionKey}`)
}

/** An ingest that is listed for a partition, with the pages that its rows come from. */
export type ListedIngest = {
  readonly sourceIngestId: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** As many as landed: where fewer are recorded, its rows are not all there to be made again. */
  readonly pagesLanded: number
  readonly pages: readonly ManifestPage[]
}

/** Who is listed for a partition, and whether its file may lag behind them. */
export type PartitionListing = {
  readonly ingests: readonly ListedIngest[]
  /** A listed ingest, or a rebuild of the partition, is not published yet. */
  readonly pending: boolean
}

const LISTED = `
listed as (
  select l.source_ingest_id as "sourceIngestId", i.lo, i.hi, i.state, i.pages as "pagesLanded",
         p.page_no as "pageNo", p.path, p.sha256, p.record_count as "recordCount", p.observed_at as "observedAt"
    from curated.partition_ingest l
    join provenance.source_ingest i using (source_ingest_id)
    left join provenance.raw_page p on p.source_ingest_id = l.source_ingest_id and p.epoch = l.landed_epoch
   where l.dataset = $1::text and l.partition_key = $2::text
     and i.superseded_by is null and i.withdrawn_at is null
)`

const READ_LISTING: Statement = {
  name: 'listed_in_partition',
  text: `
with ${LISTED}, pending as (
  select exists (select from listed where state <> 'published')
      or exists (select from provenance.source_ingest r join ingest.stream s using (stream_id)
                  where r.lane = 'reprocess' and r.by_mark and r.state <> 'published'
                    and s.dataset = $1::text and r.partition_key = $2::text) as pending
)
select pending.pending, listed.*
  from pending left join listed on true
 order by "sourceIngestId", "pageNo"`,
}

const READ_LISTING_TO_REBUILD: Statement = {
  name: 'listed_in_partition_to_rebuild',
  text: `
with mine as materialized (
  select source_ingest_id
    from provenance.source_ingest
   where source_ingest_id = $3::uuid and epoch = $4::int and state = 'curating'
     for update
), ${LISTED}
select listed.*
  from mine left join listed on true
 order by "sourceIngestId", "pageNo"`,
}

type ListingRow = Omit<ListedIngest, 'pages'> &
  (ManifestPage | { readonly pageNo: null }) & { readonly pending?: boolean }

/** Every current ingest listed for the partition, and whether its file may lag behind. Read after the file, so that whoever wrote before is in it. */
export async function readPartitionListing(
  db: Queryable,
  dataset: string,
  partitionKey: string,
): Promise<PartitionListing> {
  const rows = await db.query<ListingRow>(READ_LISTING, [dataset, partitionKey])
  return { ingests: ingestsOf(rows), pending: rows[0]?.pending ?? false }
}

/** The same for a worker that is about to replace the file. Throws LeaseLostError where the rebuild is no longer its. */
export async function readListingToRebuild(
  db: Queryable,
  claim: CurateClaim,
  partitionKey: string,
): Promise<Pick<PartitionListing, 'ingests'>> {
  const { dataset, sourceIngestId, epoch } = claim
  const rows = await db.query<ListingRow>(READ_LISTING_TO_REBUILD, [dataset, partitionKey, sourceIngestId, epoch])
  if (rows.length > 0) return { ingests: ingestsOf(rows) }
  throw new LeaseLostError(`rebuild ${sourceIngestId}: epoch ${epoch} may no longer write ${partitionKey}`)
}

function ingestsOf(rows: readonly ListingRow[]): readonly ListedIngest[] {
  const ingests = new Map<string, ListedIngest & { pages: ManifestPage[] }>()
  for (const row of rows) {
    const { sourceIngestId, lo, hi, pagesLanded } = row
    if (sourceIngestId === null) continue
    const ingest = ingests.get(sourceIngestId) ?? { sourceIngestId, lo, hi, pagesLanded, pages: [] }
    if (row.pageNo !== null) {
      const { pageNo, path, sha256, recordCount, observedAt } = row
      ingest.pages.push({ pageNo, path, sha256, recordCount, observedAt })
    }
    ingests.set(sourceIngestId, ingest)
  }
  return [...ingests.values()]
}

/** Throws PermanentError where records of its raw pages are lost: its rows would be left out in silence. */
export function checkPagesRecorded({ sourceIngestId, pages, pagesLanded }: ListedIngest): void {
  if (pages.length === pagesLanded) return
  throw new PermanentError(
    `ingest ${sourceIngestId}: expected the rows of ${pagesLanded} raw pages, got ${pages.length}; tributary fsck --repair`,
  )
}
