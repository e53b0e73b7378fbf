import { setTimeout as sleep } from 'node:timers/promises'
import { mergeAll, mergeRows } from '../curated/merge.ts'
import {
  type EncodedPartition,
  encode,
  type PartitionFile,
  readPartitionFile,
  replacePartitionFile,
} from '../curated/partition-file.ts'
import { type StreamPlace, splitByPartition } from '../curated/partition-path.ts'
import type { Dataset } from '../datasets/contract.ts'
import { columnOf, type RowBatch } from '../datasets/row-batch.ts'
import { OutdatedError, TransientError } from '../errors.ts'
import { openAlert } from '../ops/alerts.ts'
import type { Platform } from '../platform.ts'
import type { BoundSource } from '../sources/contract.ts'
import type { CurateClaim } from './claim.ts'
import { parsePages } from './parse-pages.ts'
import { listInPartition, readPartitionListing } from './partition-listing.ts'
import type { WrittenPartition } from './publish.ts'

export type PartitionWrite = {
  readonly platform: Platform
  readonly claim: CurateClaim
  readonly dataset: Dataset
  readonly bound: BoundSource
  readonly transformVersion: number
  readonly partitionKey: string
  readonly path: string
  /** This ingest's rows of the partition. */
  readonly incoming: RowBatch
  readonly signal: AbortSignal
}

/** Tries before a partition that others keep rewriting is left to a later attempt. */
const TRIES_MAX = 20
const NOTHING = { inserted: 0, updated: 0, unchanged: 0, superseded: 0 }

/**
 * Brings the rows of one ingest into the file of one partition: read the file, merge, write down whose rows it may
 * hold, replace exactly the file that was read. Whoever comes first, the merge gives the same file, so on a conflict
 * it simply reads again.
 *
 * A file that cannot be merged into (missing although others are listed for it, of an older transform, damaged) is
 * made again from the raw pages of every ingest listed.
 */
export async function writePartition(write: PartitionWrite): Promise<WrittenPartition> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    write.signal.throwIfAborted()
    const written = await tryWrite(write)
    if (written !== null) return written
    await sleep(Math.random() * 50 * tries)
  }
  throw new TransientError(
    `partition ${write.path}: expected to write it within ${TRIES_MAX} tries, others were always first`,
  )
}

async function tryWrite(write: PartitionWrite): Promise<WrittenPartition | null> {
  const { platform, dataset, path, transformVersion } = write
  const file = await readPartitionFile(platform.curated, dataset, path)
  if (file.kind === 'file') refuseNewer(file, write)
  if (file.kind === 'broken') await reportBroken(write, file.problem)
  const merged = isMergeable(file, write) ? await mergeInto(write, file) : await rebuildWith(write)
  // Missing although others are listed for it: to start it anew would drop their rows.
  const { rows, ownRowsInFile, listing } =
    file.kind === 'absent' && merged.listing.others > 0 && !merged.rebuilt ? await rebuildWith(write) : merged

  const encoded = encode(dataset, rows, transformVersion)
  // Equal bytes that hold rows of mine are the PUT of an earlier try. Equal bytes without are still written: a rebuild
  // that read the list before me may be about to take away the row that mine lost to.
  if (file.kind === 'file' && ownRowsInFile && encoded.sha256 === file.sha256) {
    return describe(write, rows, encoded, { etag: file.etag, blobVersion: file.blobVersion })
  }
  const known = file.kind === 'absent' ? 0 : file.blobVersion
  const blobVersion = Math.max(known, listing.blobVersion) + 1
  const etag = await replacePartitionFile(platform.curated, path, file, { ...encoded, blobVersion })
  if (etag === null) return null
  return describe(write, rows, encoded, { etag, blobVersion })
}

function isMergeable(file: PartitionFile, { transformVersion }: PartitionWrite): boolean {
  return file.kind === 'absent' || (file.kind === 'file' && file.transformVersion === transformVersion)
}

function refuseNewer({ transformVersion: found }: { readonly transformVersion: number }, write: PartitionWrite): void {
  if (found <= write.transformVersion) return
  throw new OutdatedError(
    `curated file ${write.path}: expected at most transform version ${write.transformVersion}, got ${found}`,
  )
}

/** The sweep closes the alert once the partition has been published again. */
async function reportBroken({ platform, claim, path }: PartitionWrite, problem: string): Promise<void> {
  platform.log.error('curated_file_broken', { source_ingest_id: claim.sourceIngestId, path, problem })
  await openAlert(platform.db, { kind: 'curated_file', severity: 'critical', subject: path, detail: { problem } })
}

async function mergeInto(write: PartitionWrite, file: PartitionFile) {
  const { platform, claim, dataset, partitionKey, transformVersion, incoming } = write
  const base = file.kind === 'file' ? file.rows : null
  const { rows, outcomes, ownRowsInFile } = mergeRows({ dataset, file: base, incoming })
  const listing = await listInPartition(platform.db, {
    claim,
    partitionKey,
    transformVersion,
    outcomes,
    keepCounts: ownRowsInFile,
  })
  return { rows, ownRowsInFile, listing, rebuilt: false }
}

/** The partition as all other listed ingests make it, under this transform version, and mine merged into that. */
async function rebuildWith(write: PartitionWrite) {
  const { platform, claim, dataset, bound, partitionKey, transformVersion, incoming, signal } = write
  const list = (outcomes: typeof NOTHING) =>
    listInPartition(platform.db, { claim, partitionKey, transformVersion, outcomes, keepCounts: false })
  await list(NOTHING)
  const others: RowBatch[] = []
  const { ingests } = await readPartitionListing(platform.db, dataset.name, partitionKey)
  for (const ingest of ingests) {
    if (ingest.sourceIngestId === claim.sourceIngestId) continue
    const window = ingest.lo === null || ingest.hi === null ? null : { lo: ingest.lo, hi: ingest.hi }
    const parsed = await parsePages({ raw: platform.raw, dataset, bound, pages: ingest.pages, window, signal })
    const mine = splitByPartition(dataset, placeOf(claim), parsed.rows).find(
      (part) => part.partitionKey === partitionKey,
    )
    if (mine !== undefined) others.push(mine.rows)
  }
  const { rows, outcomes } = mergeRows({ dataset, file: mergeAll(dataset, others), incoming })
  platform.log.info('partition_rebuilt', {
    source_ingest_id: claim.sourceIngestId,
    partition: partitionKey,
    ingests: others.length + 1,
  })
  return { rows, ownRowsInFile: false, listing: await list(outcomes), rebuilt: true }
}

/** Where the stream of a claim keeps its partitions. */
export function placeOf(claim: CurateClaim): StreamPlace {
  const { dataset, source, subject, timeframe } = claim
  return { dataset, source, subject, timeframe: timeframe ?? undefined }
}

function describe(
  { claim, dataset, partitionKey, path, transformVersion }: PartitionWrite,
  rows: RowBatch,
  encoded: EncodedPartition,
  blob: { readonly etag: string; readonly blobVersion: number },
): WrittenPartition {
  const times = columnOf(rows, dataset.eventTime) as BigInt64Array
  let minTs: bigint | null = null
  let maxTs: bigint | null = null
  for (const time of times) {
    if (minTs === null || time < minTs) minTs = time
    if (maxTs === null || time > maxTs) maxTs = time
  }
  return {
    ...blob,
    dataset: claim.dataset,
    partitionKey,
    path,
    sha256: encoded.sha256,
    contentSha256: encoded.contentSha256,
    rows: rows.rowCount,
    bytes: encoded.bytes.byteLength,
    minTs,
    maxTs,
    transformVersion,
    contractVersion: dataset.contractVersion,
  }
}
