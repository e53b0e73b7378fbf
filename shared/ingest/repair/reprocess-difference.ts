import { mergeAll } from '../../curated/merge.ts'
import { encode, type PartitionFile, readPartitionFile } from '../../curated/partition-file.ts'
import { partitionPath } from '../../curated/partition-path.ts'
import { differenceOf, type RowDifference } from '../../curated/row-difference.ts'
import type { RowBatch } from '../../datasets/row-batch.ts'
import { ConfigError, ContractError, OutdatedError, PermanentError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { readKnownRejects } from '../../provenance/rejects.ts'
import { checkPagesRecorded, type ListedIngest, readPartitionListing } from '../curate/partition-listing.ts'
import { type IngestRejects, parseAgain } from './reprocess-parse.ts'
import type { ReprocessTarget } from './reprocess-target.ts'

/** What making one partition again would change. Nothing was written. */
export type PartitionDifference = {
  readonly partitionKey: string
  readonly path: string
  /** Null where there is no file, or none that can be read: nobody can say what changes. */
  readonly rows: RowDifference | null
  readonly rowsAfter: number
  readonly bytesBefore: number | null
  readonly bytesAfter: number
  readonly transformVersionBefore: number | null
  /** The file and what Postgres says of it are already what they would become. */
  readonly same: boolean
  /** Ingests whose rows fall into it with this transform and did not before: to be listed. */
  readonly joining: readonly string[]
  /** Why it cannot be made: a raw page is missing. */
  readonly problem: string | null
}

export type LookedAt = {
  readonly difference: PartitionDifference
  readonly rejects: readonly IngestRejects[]
  /** Rows of its ingests that fall into partitions where these are not listed. */
  readonly strays: readonly { readonly partitionKey: string; readonly ingest: ListedIngest }[]
}

const PUBLISHED: Statement = {
  name: 'published_partition_to_compare',
  text: `
select sha256, transform_version as "transformVersion"
  from curated.partition where dataset = $1::text and partition_key = $2::text`,
}

const COUNTING: Statement = {
  name: 'ingests_that_count_in_partition',
  text: `
select i.source_ingest_id as "sourceIngestId", i.state,
       array(select l.partition_key from curated.partition_ingest l
              where l.dataset = $1::text and l.source_ingest_id = i.source_ingest_id) as keys
  from provenance.source_ingest i
 where i.superseded_by is null and i.withdrawn_at is null
   and i.source_ingest_id in (select l.source_ingest_id from curated.partition_ingest l
                               where l.dataset = $1::text and l.partition_key = $2::text
                               union select unnest($3::uuid[]))`,
}

type Counting = {
  readonly sourceIngestId: string
  readonly state: string
  readonly keys: readonly string[]
}

type ToCompare = {
  readonly platform: Platform
  readonly target: ReprocessTarget
  readonly partitionKey: string
  /** Ingests that another partition's look has found to have rows here. */
  readonly joining: readonly ListedIngest[]
  readonly signal: AbortSignal
}

/**
 * Makes the partition in memory, from the raw pages of its current ingests and of those joining, and compares. Throws
 * ConfigError where a newer transform made the file.
 */
export async function comparePartition(toCompare: ToCompare): Promise<LookedAt> {
  const { platform, target, partitionKey } = toCompare
  const { dataset, transformVersion } = target
  const path = partitionPath(dataset.name, partitionKey)
  const file = await readFile(platform, target, path)
  const [published] = await platform.db.query<{ sha256: string; transformVersion: number }>(PUBLISHED, [
    dataset.name,
    partitionKey,
  ])
  const before = published?.transformVersion ?? (file.kind === 'file' ? file.transformVersion : null)
  if (before !== null && before > transformVersion) throw newerTransform(path, transformVersion, before)
  const counting = await platform.db.query<Counting>(COUNTING, [
    dataset.name,
    partitionKey,
    toCompare.joining.map(({ sourceIngestId }) => sourceIngestId),
  ])
  const { ingests } = await readPartitionListing(platform.db, dataset.name, partitionKey)
  const listed = new Set(ingests.map(({ sourceIngestId }) => sourceIngestId))
  const joining = toCompare.joining.filter(({ sourceIngestId }) => !listed.has(sourceIngestId))
  const facts = {
    partitionKey,
    path,
    bytesBefore: file.kind === 'file' ? file.bytes : null,
    transformVersionBefore: before,
    joining: joining.map(({ sourceIngestId }) => sourceIngestId),
  }
  try {
    const { batches, rejects, strays } = await readBatches(toCompare, [...ingests, ...joining], counting)
    const rows = mergeAll(dataset, batches)
    const { bytes, sha256 } = encode(dataset, rows, transformVersion)
    const same = file.kind === 'file' && file.sha256 === sha256 && published?.sha256 === sha256
    const difference = {
      ...facts,
      rows: file.kind === 'file' ? differenceOf(dataset, file.rows, rows) : null,
      rowsAfter: rows.rowCount,
      bytesAfter: bytes.byteLength,
      same: same && joining.length === 0,
      problem: null,
    }
    return { difference, rejects, strays }
  } catch (error) {
    if (!(error instanceof PermanentError) && !(error instanceof ContractError)) throw error
    const nothing = { rows: null, rowsAfter: 0, bytesAfter: 0, same: false, problem: error.message }
    return { difference: { ...facts, ...nothing }, rejects: [], strays: [] }
  }
}

async function readFile(
  platform: Platform,
  { dataset, transformVersion }: ReprocessTarget,
  path: string,
): Promise<PartitionFile> {
  try {
    return await readPartitionFile(platform.curated, dataset, path)
  } catch (error) {
    if (error instanceof OutdatedError) throw newerTransform(path, transformVersion, 'one of a newer contract')
    throw error
  }
}

function newerTransform(path: string, ours: number, came: number | string): ConfigError {
  return new ConfigError([
    `partition ${path}: expected at most transform version ${ours}, got ${came}; run it with the newer build`,
  ])
}

async function readBatches(
  { platform, target, partitionKey, signal }: ToCompare,
  ingests: readonly ListedIngest[],
  counting: readonly Counting[],
) {
  const { db, raw } = platform
  for (const ingest of ingests) checkPagesRecorded(ingest)
  const known = await readKnownRejects(
    db,
    ingests.map(({ sourceIngestId }) => sourceIngestId),
  )
  const batches: RowBatch[] = []
  const rejects: IngestRejects[] = []
  const strays: { partitionKey: string; ingest: ListedIngest }[] = []
  for (const ingest of ingests) {
    const { sourceIngestId } = ingest
    const mine = known.filter((reject) => reject.sourceIngestId === sourceIngestId)
    const again = await parseAgain({ raw, target, ingest, known: mine, signal })
    rejects.push(again.rejects)
    // One that is not published yet lists itself when it writes.
    const facts = counting.find((one) => one.sourceIngestId === sourceIngestId && one.state === 'published')
    for (const [key, rows] of again.parts) {
      if (key === partitionKey) batches.push(rows)
      else if (facts !== undefined && !facts.keys.includes(key)) strays.push({ partitionKey: key, ingest })
    }
  }
  return { batches, rejects, strays }
}
