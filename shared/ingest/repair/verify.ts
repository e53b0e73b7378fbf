import { encode } from '../../curated/partition-file.ts'
import { ContractError, PermanentError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import type { Database, Statement } from '../../postgres/database.ts'
import { sha256Hex } from '../../sha256.ts'
import type { Source } from '../../sources/contract.ts'
import { type ListedIngest, readPartitionListing } from '../curate/partition-listing.ts'
import { rebuildRows } from '../curate/rebuild-rows.ts'

/** Whether a curated file is exactly what it must be: what the raw pages of its current ingests make (I3). */
export type Verdict =
  | { readonly path: string; readonly kind: 'same'; readonly sha256: string }
  /** An ingest that is listed for it, or a rebuild of it, is not published yet: a difference means nothing. */
  | { readonly path: string; readonly kind: 'pending' }
  /** Made by another transform version than this worker has: only a worker of that version can tell. */
  | { readonly path: string; readonly kind: 'other-version'; readonly transformVersion: number }
  | {
      readonly path: string
      readonly kind: 'different'
      /** Null: nothing can be said to be right, `detail` says why (a raw page is missing). */
      readonly expected: string | null
      /** Of the bytes that are there; null where there is no file. */
      readonly found: string | null
      readonly detail?: string
    }

/** A published partition as Postgres knows it. */
export type PublishedPartition = {
  readonly dataset: string
  readonly partitionKey: string
  readonly path: string
  readonly streamId: number
  readonly source: string
  readonly subject: string
  readonly timeframe: string | null
  readonly params: unknown
  readonly transformVersion: number
}

export type PartitionSelection = {
  /** All streams where it is not given. */
  readonly streamIds?: readonly number[]
  /** So many, chosen anew every time: a nightly sample comes to every partition. */
  readonly sample?: number
}

const PARTITIONS: Statement = {
  name: 'partitions_to_verify',
  text: `
select p.dataset, p.partition_key as "partitionKey", p.path, s.stream_id as "streamId", s.source, s.subject, s.timeframe,
       s.params, p.transform_version as "transformVersion"
  from curated.partition p join ingest.stream s using (stream_id)
 where ($1::bigint[] is null or p.stream_id = any($1::bigint[])) and p.path collate "C" > $2::text
 order by p.path collate "C"
 limit $3::int`,
}

const SAMPLE: Statement = {
  name: 'sample_of_partitions_to_verify',
  text: `
select * from (
  select p.dataset, p.partition_key as "partitionKey", p.path, s.stream_id as "streamId", s.source, s.subject, s.timeframe,
         s.params, p.transform_version as "transformVersion"
    from curated.partition p join ingest.stream s using (stream_id)
   where $1::bigint[] is null or p.stream_id = any($1::bigint[])
   order by random()
   limit $2::int) sample
 order by path collate "C"`,
}

const PARTITIONS_AT_ONCE = 1_000

/** Published partitions in path order, a page of them at a time. */
export async function* readPartitions(
  db: Database,
  { streamIds, sample }: PartitionSelection,
): AsyncGenerator<PublishedPartition> {
  const streams = streamIds ?? null
  if (sample !== undefined) return yield* await db.query<PublishedPartition>(SAMPLE, [streams, sample])
  for (let after = ''; ; ) {
    const page = await db.query<PublishedPartition>(PARTITIONS, [streams, after, PARTITIONS_AT_ONCE])
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < PARTITIONS_AT_ONCE) return
    after = last.path
  }
}

/** A writer moves the file between our reads at most so often before we say that it is pending. */
export const LOOKS_MAX = 5

/** Rebuilds the selected partitions in memory, in path order, and compares bytes. Changes nothing. */
export async function* verifyPartitions(
  platform: Platform,
  signal: AbortSignal,
  selection: PartitionSelection = {},
): AsyncIterable<Verdict> {
  for await (const partition of readPartitions(platform.db, selection)) {
    signal.throwIfAborted()
    yield await verifyPartition(platform, partition, signal)
  }
}

async function verifyPartition(
  platform: Platform,
  partition: PublishedPartition,
  signal: AbortSignal,
): Promise<Verdict> {
  const { dataset, partitionKey, path, transformVersion } = partition
  const source = sourceOfPartition(platform, partition)
  if (source.transformVersion !== transformVersion) return { path, kind: 'other-version', transformVersion }
  for (let look = 0; look < LOOKS_MAX; look++) {
    const blob = await platform.curated.get(path)
    const { ingests, pending } = await readPartitionListing(platform.db, dataset, partitionKey)
    const expected = await rebuiltSha256(platform, source, partition, ingests, signal)
    const found = blob === null ? null : sha256Hex(blob.body)
    if ('sha256' in expected && found === expected.sha256) return { path, kind: 'same', sha256: found }
    if (pending) return { path, kind: 'pending' }
    const now = await platform.curated.head(path)
    if ((now?.etag ?? null) !== (blob?.etag ?? null)) continue
    if ('sha256' in expected) return { path, kind: 'different', expected: expected.sha256, found }
    return { path, kind: 'different', expected: null, found, detail: expected.detail }
  }
  return { path, kind: 'pending' }
}

/** Throws PermanentError where this worker does not know it. */
export function sourceOfPartition(
  { sources }: Pick<Platform, 'sources'>,
  { path, source: id }: Pick<PublishedPartition, 'path' | 'source'>,
): Source {
  const source = sources.get(id)
  if (source === undefined) throw new PermanentError(`partition ${path}: expected a known source, got ${id}`)
  return source
}

/** What the file must be, or why nothing can be made. */
async function rebuiltSha256(
  { raw }: Platform,
  source: Source,
  partition: PublishedPartition,
  ingests: readonly ListedIngest[],
  signal: AbortSignal,
): Promise<{ readonly sha256: string } | { readonly detail: string }> {
  const { dataset, transformVersion } = source
  const place = { ...partition, timeframe: partition.timeframe ?? undefined }
  const { partitionKey } = partition
  const bound = source.bind(partition.params)
  try {
    const rows = await rebuildRows({ raw, dataset, bound, place, partitionKey, signal }, ingests)
    return { sha256: encode(dataset, rows, transformVersion).sha256 }
  } catch (error) {
    // Raw is damaged, or no page of this source: the other partitions are still to be looked at.
    if (error instanceof PermanentError || error instanceof ContractError) return { detail: error.message }
    throw error
  }
}
