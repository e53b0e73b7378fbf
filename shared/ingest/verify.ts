import { encode } from '../curated/partition-file.ts'
import { PermanentError } from '../errors.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import { sha256Hex } from '../sha256.ts'
import type { Source } from '../sources/contract.ts'
import { type ListedIngest, readPartitionListing } from './partition-listing.ts'
import { rebuildRows } from './rebuild-rows.ts'

/** Whether a curated file is exactly what the raw pages of its current ingests make (I3). */
export type Verdict =
  | { readonly path: string; readonly kind: 'same'; readonly sha256: string }
  /** An ingest that is listed for it, or a rebuild of it, is not published yet: a difference means nothing. */
  | { readonly path: string; readonly kind: 'pending' }
  /** Made by another transform version than this worker has: only a worker of that version can tell. */
  | { readonly path: string; readonly kind: 'other-version'; readonly transformVersion: number }
  | { readonly path: string; readonly kind: 'different'; readonly expected: string; readonly found: string | null }

type Partition = {
  readonly dataset: string
  readonly partitionKey: string
  readonly path: string
  readonly source: string
  readonly subject: string
  readonly timeframe: string | null
  readonly params: unknown
  readonly transformVersion: number
}

const PARTITIONS: Statement = {
  name: 'partitions_to_verify',
  text: `
select p.dataset, p.partition_key as "partitionKey", p.path, s.source, s.subject, s.timeframe, s.params,
       p.transform_version as "transformVersion"
  from curated.partition p join ingest.stream s using (stream_id)
 order by p.path`,
}

/** A writer moves the file between our reads at most so often before we say that it is pending. */
const LOOKS_MAX = 5

/** Rebuilds every published partition in memory, in path order, and compares bytes. Changes nothing. */
export async function* verifyPartitions(platform: Platform, signal: AbortSignal): AsyncIterable<Verdict> {
  for (const partition of await platform.db.query<Partition>(PARTITIONS)) {
    signal.throwIfAborted()
    yield await verifyPartition(platform, partition, signal)
  }
}

async function verifyPartition(platform: Platform, partition: Partition, signal: AbortSignal): Promise<Verdict> {
  const { dataset, partitionKey, path, transformVersion } = partition
  const source = sourceOf(platform, partition)
  if (source.transformVersion !== transformVersion) return { path, kind: 'other-version', transformVersion }
  for (let look = 0; look < LOOKS_MAX; look++) {
    const blob = await platform.curated.get(path)
    const { ingests, pending } = await readPartitionListing(platform.db, dataset, partitionKey)
    const expected = await rebuiltSha256(platform, source, partition, ingests, signal)
    const found = blob === null ? null : sha256Hex(blob.body)
    if (found === expected) return { path, kind: 'same', sha256: expected }
    if (pending) return { path, kind: 'pending' }
    const now = await platform.curated.head(path)
    if ((now?.etag ?? null) === (blob?.etag ?? null)) return { path, kind: 'different', expected, found }
  }
  return { path, kind: 'pending' }
}

function sourceOf({ sources }: Platform, { path, source: id }: Partition): Source {
  const source = sources.get(id)
  if (source === undefined) throw new PermanentError(`partition ${path}: expected a known source, got ${id}`)
  return source
}

async function rebuiltSha256(
  { raw }: Platform,
  source: Source,
  partition: Partition,
  ingests: readonly ListedIngest[],
  signal: AbortSignal,
): Promise<string> {
  const { dataset, transformVersion } = source
  const place = { ...partition, timeframe: partition.timeframe ?? undefined }
  const { partitionKey } = partition
  const bound = source.bind(partition.params)
  const rows = await rebuildRows({ raw, dataset, bound, place, partitionKey, signal }, ingests)
  return encode(dataset, rows, transformVersion).sha256
}
