import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { sha256Hex } from '../../sha256.ts'
import { LOOKS_MAX, type PartitionSelection, readPartitions, type Verdict } from './verify.ts'

export type PartitionName = { readonly dataset: string; readonly partitionKey: string; readonly path: string }

// In one statement with what is expected: who is unpublished now had not been published when the blob was read.
const STORED: Statement = {
  name: 'stored_partition',
  text: `
select p.sha256, p.content_sha256 as "contentSha256", p.bytes,
       exists (select from curated.partition_ingest l join provenance.source_ingest i using (source_ingest_id)
                where l.dataset = $1::text and l.partition_key = $2::text and i.state <> 'published'
                  and i.superseded_by is null and i.withdrawn_at is null)
       or exists (select from provenance.source_ingest r join ingest.stream s using (stream_id)
                   where s.dataset = $1::text and r.partition_key = $2::text and r.lane = 'reprocess'
                     and (r.state in ('planned', 'curating') or (r.by_mark and r.state <> 'published'))) as "inFlight"
  from (select) one left join curated.partition p on p.dataset = $1::text and p.partition_key = $2::text`,
}

type Stored = {
  /** Null where the partition was never published. */
  readonly sha256: string | null
  readonly contentSha256: string
  readonly bytes: number
  readonly inFlight: boolean
}

type Found = {
  readonly etag: string
  readonly bytes: number
  readonly metadata: Readonly<Record<string, string>>
  /** Of the bytes; of the metadata where they were not read. */
  readonly sha256: string | null
}

/**
 * Whether the file is what Postgres says that it is, without making it again. `deep` hashes its bytes; else its size and
 * the hashes in its metadata must do. A file that Postgres does not know is different, with nothing expected.
 */
export async function compareHashes(
  platform: Platform,
  { dataset, partitionKey, path }: PartitionName,
  { deep }: { readonly deep: boolean },
): Promise<Verdict> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    const found = await readFound(platform, path, deep)
    const [stored] = await platform.db.query<Stored>(STORED, [dataset, partitionKey])
    const detail = differenceOf(stored, found)
    if (detail === null) return { path, kind: 'same', sha256: found?.sha256 ?? '' }
    if (stored?.inFlight) return { path, kind: 'pending' }
    const now = await platform.curated.head(path)
    if ((now?.etag ?? null) !== (found?.etag ?? null)) continue
    return { path, kind: 'different', expected: stored?.sha256 ?? null, found: found?.sha256 ?? null, detail }
  }
  return { path, kind: 'pending' }
}

/** The same for every selected partition, by their bytes. */
export async function* verifyHashes(
  platform: Platform,
  signal: AbortSignal,
  selection: PartitionSelection = {},
): AsyncIterable<Verdict> {
  for await (const partition of readPartitions(platform.db, selection)) {
    signal.throwIfAborted()
    yield await compareHashes(platform, partition, { deep: true })
  }
}

async function readFound({ curated }: Platform, path: string, deep: boolean): Promise<Found | null> {
  if (!deep) {
    const facts = await curated.head(path)
    return facts && { ...facts, sha256: facts.metadata.sha256 ?? null }
  }
  const blob = await curated.get(path)
  return blob && { ...blob, bytes: blob.body.byteLength, sha256: sha256Hex(blob.body) }
}

function differenceOf(stored: Stored | undefined, found: Found | null): string | null {
  if (!stored?.sha256) return found === null ? null : 'expected no file, Postgres knows no such partition'
  if (found === null) return `expected sha256 ${stored.sha256}, there is no file`
  if (found.sha256 !== stored.sha256) return `expected sha256 ${stored.sha256}, got ${found.sha256 ?? 'none'}`
  if (found.bytes !== stored.bytes) return `expected ${stored.bytes} bytes, got ${found.bytes}`
  const { sha256, contentsha256 } = found.metadata
  // A writer believes a file only where its metadata says what it is.
  if (sha256 !== stored.sha256) return `expected sha256 ${stored.sha256} in its metadata, got ${sha256 ?? 'none'}`
  if (contentsha256 !== stored.contentSha256) {
    return `expected content sha256 ${stored.contentSha256} in its metadata, got ${contentsha256 ?? 'none'}`
  }
  return null
}
