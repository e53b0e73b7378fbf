import type { Platform } from '../../platform.ts'

/** What does not hold. */
export type FindingKind =
  /** A page is recorded and its blob is not there. */
  | 'raw_page_missing'
  /** The blob is not what was written. */
  | 'raw_page_altered'
  /** The blob belongs to what landed, and its row is lost. */
  | 'raw_page_unlisted'
  /** Nobody wrote this blob. */
  | 'raw_blob_orphan'
  /** The rows of an ingest that landed are no complete chain, or not the records that it counted. */
  | 'pages_incomplete'
  | 'counts_differ'
  /** Time is said to be fetched or published, and no ingest with its pages says why. */
  | 'coverage_unproven'
  | 'partition_missing'
  | 'partition_altered'
  /** A curated file that Postgres does not know. */
  | 'partition_unlisted'

/** What mends it, from raw alone. */
export type Repair =
  | {
      readonly kind: 'rebuild_partition'
      readonly streamId: number
      readonly dataset: string
      readonly partitionKey: string
    }
  | { readonly kind: 'restore_pages'; readonly sourceIngestId: string }

export type Finding = {
  readonly kind: FindingKind
  /** damage: a person must know · explained: left by an attempt that never landed · in_flight: being written */
  readonly weight: 'damage' | 'explained' | 'in_flight'
  /** A path, an ingest, a stream. */
  readonly place: string
  readonly detail: string
  readonly repair: Repair | null
  /** What a person can do where nothing can be mended from raw. */
  readonly advice: string | null
}

/** How much was looked at. */
export type Checked = { pages: number; ingests: number; streams: number; partitions: number; blobs: number }

export type FsckContext = {
  readonly platform: Platform
  readonly signal: AbortSignal
  /** Read every blob and hash it; else sizes and the hashes in metadata must do. */
  readonly deep: boolean
  readonly checked: Checked
  /** Raw pages found missing or altered: nothing can be made of them. */
  readonly damagedPages: Set<string>
  /** Ingests whose rows of pages are not whole: a file made now would lack their rows. */
  readonly brokenIngests: Set<string>
}

export type Check = (context: FsckContext) => AsyncGenerator<Finding>

export function damage(finding: Omit<Finding, 'weight'>): Finding {
  return { ...finding, weight: 'damage' }
}

/** Chunks of at most `size`, so that a listing of any length is looked at in bounded memory. */
export async function* chunksOf<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<readonly T[]> {
  let chunk: T[] = []
  for await (const item of items) {
    chunk.push(item)
    if (chunk.length < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
