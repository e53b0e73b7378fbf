import { setTimeout as sleep } from 'node:timers/promises'
import {
  type EncodedPartition,
  type PartitionFile,
  readPartitionFile,
  replacePartitionFile,
} from '../../curated/partition-file.ts'
import type { Dataset } from '../../datasets/contract.ts'
import { columnOf, type RowBatch } from '../../datasets/row-batch.ts'
import { OutdatedError, TransientError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import { openAlert } from '../../ops/alerts.ts'
import type { Platform } from '../../platform.ts'
import type { BoundSource } from '../../sources/contract.ts'
import type { CurateClaim } from '../state/claim.ts'

/** A partition that an ingest writes: its rows into the file, or the file made again. */
export type PartitionTarget = {
  readonly platform: Platform
  readonly claim: CurateClaim
  readonly dataset: Dataset
  readonly bound: BoundSource
  readonly transformVersion: number
  readonly partitionKey: string
  readonly path: string
  readonly signal: AbortSignal
}

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

/** Tries before a partition that others keep rewriting is left to a later attempt. */
const TRIES_MAX = 20

/** Tries until it is written; `tryOnce` gives null where another writer came first. */
export async function untilWritten(
  { path, signal }: PartitionTarget,
  tryOnce: () => Promise<WrittenPartition | null>,
): Promise<WrittenPartition> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    signal.throwIfAborted()
    const written = await tryOnce()
    if (written !== null) return written
    await sleep(Math.random() * 50 * tries)
  }
  throw new TransientError(
    `partition ${path}: expected to write it within ${TRIES_MAX} tries, others were always first`,
  )
}

/** What stands there. Throws OutdatedError where a newer transform made it. */
export async function readTarget({
  platform,
  claim,
  dataset,
  path,
  transformVersion,
}: PartitionTarget): Promise<PartitionFile> {
  const file = await readPartitionFile(platform.curated, dataset, path)
  if (file.kind === 'file' && file.transformVersion > transformVersion) {
    throw new OutdatedError(
      `curated file ${path}: expected at most transform version ${transformVersion}, got ${file.transformVersion}`,
    )
  }
  if (file.kind === 'broken') {
    // The sweep closes the alert once the partition has been published again.
    const { problem } = file
    platform.log.error('curated_file_broken', { source_ingest_id: claim.sourceIngestId, path, problem })
    await openAlert(platform.db, { kind: 'curated_file', severity: 'critical', subject: path, detail: { problem } })
  }
  return file
}

type Replacement = {
  /** What `readTarget` found: only that is replaced. */
  readonly over: PartitionFile
  readonly rows: RowBatch
  readonly encoded: EncodedPartition
  /** Newest blob version that Postgres knows. */
  readonly blobVersion: number
}

/** Null where another writer came first. */
export async function replaceTarget(
  target: PartitionTarget,
  replacement: Replacement,
): Promise<WrittenPartition | null> {
  const { over, rows, encoded } = replacement
  const known = over.kind === 'absent' ? 0 : over.blobVersion
  const blobVersion = Math.max(known, replacement.blobVersion) + 1
  const etag = await replacePartitionFile(target.platform.curated, target.path, over, { ...encoded, blobVersion })
  return etag === null ? null : describeWritten(target, rows, encoded, { etag, blobVersion })
}

export function describeWritten(
  { claim, dataset, partitionKey, path, transformVersion }: PartitionTarget,
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
