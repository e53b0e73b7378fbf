import { mergeAll } from '../../curated/merge.ts'
import { type StreamPlace, splitByPartition } from '../../curated/partition-path.ts'
import type { Dataset } from '../../datasets/contract.ts'
import type { RowBatch } from '../../datasets/row-batch.ts'
import type { Platform } from '../../platform.ts'
import type { BoundSource } from '../../sources/contract.ts'
import { parsePages } from './parse-pages.ts'
import { checkPagesRecorded, type ListedIngest } from './partition-listing.ts'

/** One partition and what its rows are made with. */
export type PartitionToRebuild = {
  readonly raw: Platform['raw']
  readonly dataset: Dataset
  readonly bound: BoundSource
  readonly place: StreamPlace
  readonly partitionKey: string
  readonly signal: AbortSignal
}

/**
 * The rows that the raw pages of `ingests` make in the partition: what its file must hold. The one function behind a
 * reprocess, a new transform version, a file that is missing or damaged, and `verify`. Throws PermanentError where a
 * raw page, or the record of one, is missing or altered.
 */
export async function rebuildRows(
  { raw, dataset, bound, place, partitionKey, signal }: PartitionToRebuild,
  ingests: readonly ListedIngest[],
): Promise<RowBatch> {
  const batches: RowBatch[] = []
  for (const ingest of ingests) {
    checkPagesRecorded(ingest)
    const { lo, hi, pages } = ingest
    const window = lo === null || hi === null ? null : { lo, hi }
    const parsed = await parsePages({ raw, dataset, bound, pages, window, signal })
    const mine = splitByPartition(dataset, place, parsed.rows).find((part) => part.partitionKey === partitionKey)
    if (mine !== undefined) batches.push(mine.rows)
  }
  return mergeAll(dataset, batches)
}
