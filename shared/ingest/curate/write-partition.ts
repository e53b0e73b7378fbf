import { mergeRows } from '../../curated/merge.ts'
import { encode, type PartitionFile } from '../../curated/partition-file.ts'
import type { RowBatch } from '../../datasets/row-batch.ts'
import { placeOf } from '../state/claim.ts'
import { listInPartition, readPartitionListing } from './partition-listing.ts'
import {
  describeWritten,
  type PartitionTarget,
  readTarget,
  replaceTarget,
  untilWritten,
  type WrittenPartition,
} from './partition-target.ts'
import { rebuildRows } from './rebuild-rows.ts'

/** `incoming`: this ingest's rows of the partition. */
export type PartitionWrite = PartitionTarget & { readonly incoming: RowBatch }

const NOT_COUNTED = { inserted: 0, updated: 0, unchanged: 0, superseded: 0 }
/** Of no transform: a later try that finds rows of mine, put there by a rebuild of somebody else, must not keep these. */
const NO_TRANSFORM = 0

/**
 * Brings the rows of one ingest into the file of one partition: read the file, merge, write down whose rows it may
 * hold, replace exactly the file that was read. Whoever comes first, the merge gives the same file, so on a conflict
 * it simply reads again.
 *
 * A file that cannot be merged into (missing although others are listed for it, of an older transform, damaged) is
 * made again from the raw pages of every ingest listed.
 */
export async function writePartition(write: PartitionWrite): Promise<WrittenPartition> {
  return untilWritten(write, () => tryWrite(write))
}

async function tryWrite(write: PartitionWrite): Promise<WrittenPartition | null> {
  const { claim, dataset, transformVersion } = write
  const file = await readTarget(write)
  const merged = isMergeable(file, write) ? await mergeInto(write, file) : await rebuildWith(write)
  // Missing although others are listed for it: to start it anew would drop their rows.
  const { rows, ownRowsInFile, listing } =
    file.kind === 'absent' && merged.listing.others > 0 && !merged.rebuilt ? await rebuildWith(write) : merged

  const encoded = encode(dataset, rows, transformVersion)
  // Equal bytes that hold rows of mine are the PUT of an earlier try. Equal bytes without are still written: a rebuild
  // that read the list before me may be about to take away the row that mine lost to. And a file's rows always are:
  // the rebuild of another version may be about to take mine away with it.
  const written = file.kind === 'file' && ownRowsInFile && encoded.sha256 === file.sha256 && claim.lo !== null
  if (written) return describeWritten(write, rows, encoded, { etag: file.etag, blobVersion: file.blobVersion })
  return replaceTarget(write, { over: file, rows, encoded, blobVersion: listing.blobVersion })
}

function isMergeable(file: PartitionFile, { transformVersion }: PartitionWrite): boolean {
  return file.kind === 'absent' || (file.kind === 'file' && file.transformVersion === transformVersion)
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
  const { platform, claim, dataset, partitionKey, transformVersion, incoming } = write
  const listed = { claim, partitionKey, keepCounts: false }
  await listInPartition(platform.db, { ...listed, outcomes: NOT_COUNTED, transformVersion: NO_TRANSFORM })
  const { ingests } = await readPartitionListing(platform.db, dataset.name, partitionKey)
  const others = ingests.filter(({ sourceIngestId }) => sourceIngestId !== claim.sourceIngestId)
  const partition = { ...write, raw: platform.raw, place: placeOf(claim) }
  const { rows, outcomes } = mergeRows({ dataset, file: await rebuildRows(partition, others), incoming })
  platform.log.info('partition_rebuilt', {
    source_ingest_id: claim.sourceIngestId,
    partition: partitionKey,
    ingests: others.length + 1,
  })
  const listing = await listInPartition(platform.db, { ...listed, outcomes, transformVersion })
  return { rows, ownRowsInFile: false, listing, rebuilt: true }
}
