import type { BlobContainer } from '../azure/blobs.ts'
import type { Dataset } from '../datasets/contract.ts'
import type { RowBatch } from '../datasets/row-batch.ts'
import { OutdatedError, toError } from '../errors.ts'
import { sha256Hex } from '../sha256.ts'
import { contentSha256 } from './content-hash.ts'
import { decodePartition, partitionVersions } from './parquet-reader.ts'
import { encodePartition } from './parquet-writer.ts'

/** What stands at a partition's path. */
export type PartitionFile =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'file'
      readonly etag: string
      readonly blobVersion: number
      readonly sha256: string
      readonly transformVersion: number
      readonly contractVersion: number
      readonly rows: RowBatch
      readonly bytes: number
    }
  /** Of an older contract: its columns are others, so it is rebuilt from raw without being read. */
  | { readonly kind: 'older'; readonly etag: string; readonly blobVersion: number; readonly sha256: string }
  /** Not a file that we wrote: damaged, replaced by hand, of another schema. It is rebuilt from raw. */
  | { readonly kind: 'broken'; readonly etag: string; readonly blobVersion: number; readonly problem: string }

/** The bytes of a partition with what is stored beside them. */
export type EncodedPartition = {
  readonly bytes: Uint8Array
  readonly sha256: string
  readonly contentSha256: string
}

/** Throws OutdatedError where the file is of a newer contract than this worker knows. */
export async function readPartitionFile(
  curated: BlobContainer,
  dataset: Dataset,
  path: string,
): Promise<PartitionFile> {
  const blob = await curated.get(path)
  if (blob === null) return { kind: 'absent' }
  const blobVersion = Number(blob.metadata.blobversion ?? 0)
  const sha256 = sha256Hex(blob.body)
  try {
    // Pages of a Parquet file carry no checksum: the blob's own hash says whether they can be believed.
    if (blob.metadata.sha256 !== sha256) {
      throw new Error(`expected sha256 ${blob.metadata.sha256 ?? 'in its metadata'}, got ${sha256}`)
    }
    const { contractVersion } = partitionVersions({ dataset, bytes: blob.body })
    if (contractVersion < dataset.contractVersion) return { kind: 'older', etag: blob.etag, blobVersion, sha256 }
    const decoded = decodePartition({ dataset, bytes: blob.body })
    return { kind: 'file', etag: blob.etag, blobVersion, sha256, bytes: blob.body.byteLength, ...decoded }
  } catch (error) {
    if (error instanceof OutdatedError) throw error
    const problem = `curated file ${path}: ${toError(error).message}`
    return { kind: 'broken', etag: blob.etag, blobVersion, problem }
  }
}

export function encode(dataset: Dataset, rows: RowBatch, transformVersion: number): EncodedPartition {
  const bytes = encodePartition({ dataset, rows, transformVersion })
  return { bytes, sha256: sha256Hex(bytes), contentSha256: contentSha256(dataset, rows) }
}

/** One atomic PUT over exactly the file that was read; null where another writer came first. Returns the new ETag. */
export async function replacePartitionFile(
  curated: BlobContainer,
  path: string,
  over: PartitionFile,
  file: EncodedPartition & { readonly blobVersion: number },
): Promise<string | null> {
  const result = await curated.put(path, file.bytes, {
    condition: over.kind === 'absent' ? { kind: 'absent' } : { kind: 'unchanged', etag: over.etag },
    contentType: 'application/vnd.apache.parquet',
    metadata: { sha256: file.sha256, contentsha256: file.contentSha256, blobversion: String(file.blobVersion) },
  })
  if (result.written) return result.etag
  // Raw answers a repeated create with 403 where its writer may not overwrite; curated's writer may.
  if (result.status === 403) throw new Error(`curated file ${path}: expected to write it, storage forbids it (403)`)
  return null
}
