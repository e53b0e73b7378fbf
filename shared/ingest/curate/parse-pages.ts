import type { BlobContainer } from '../../azure/blobs.ts'
import { allColumns, type Dataset } from '../../datasets/contract.ts'
import { createRecordSink, type ParsedPage, type Reject } from '../../datasets/record-sink.ts'
import { type ColumnData, columnOf, concatRows, type RowBatch, takeRows } from '../../datasets/row-batch.ts'
import { PermanentError } from '../../errors.ts'
import { readRawPage } from '../../provenance/raw-page.ts'
import type { BoundSource, Window } from '../../sources/contract.ts'
import type { ManifestPage } from '../state/claim.ts'

/** What the pages of one ingest hold. */
export type ParsedIngest = {
  /** Business and provenance columns of the rows inside the window, in the order of pages and records. */
  readonly rows: RowBatch
  readonly rejects: readonly (Reject & { readonly pageNo: number })[]
  /** Rows outside the window: kept in raw, counted, not curated. */
  readonly outside: number
  readonly records: number
}

export type PagesToParse = {
  readonly raw: BlobContainer
  readonly dataset: Dataset
  readonly bound: BoundSource
  readonly pages: readonly ManifestPage[]
  /** Null: every row counts (a file has no window). */
  readonly window: Window | null
  readonly signal: AbortSignal
}

const RAW_SHA256_DIGITS = 16

/** Reads the pages back from raw, checks their hashes and parses them. Pure but for the reading: any page, any time. */
export async function parsePages({ raw, dataset, bound, pages, window, signal }: PagesToParse): Promise<ParsedIngest> {
  const batches: RowBatch[] = []
  const rejects: (Reject & { pageNo: number })[] = []
  let outside = 0
  let records = 0
  for (const page of pages) {
    signal.throwIfAborted()
    const sink = createRecordSink(dataset)
    bound.records(await readRawPage(raw, page), sink)
    const parsed = sink.finish()
    const inside = withProvenance(dataset, parsed, page, window)
    batches.push(inside)
    rejects.push(...parsed.rejects.map((reject) => ({ ...reject, pageNo: page.pageNo })))
    outside += parsed.rows.rowCount - inside.rowCount
    records += parsed.records
  }
  return { rows: concatRows(allColumns(dataset), batches), rejects, outside, records }
}

function withProvenance(dataset: Dataset, parsed: ParsedPage, page: ManifestPage, window: Window | null): RowBatch {
  const { rowCount } = parsed.rows
  const columns: Record<string, ColumnData> = {
    ...parsed.rows.columns,
    _observed_at: new BigInt64Array(rowCount).fill(page.observedAt),
    _raw_sha256: new Array<string>(rowCount).fill(page.sha256.slice(0, RAW_SHA256_DIGITS)),
    _raw_row: parsed.ordinals,
  }
  const batch = { rowCount, columns }
  if (window === null) return batch
  const times = columnOf(batch, dataset.eventTime) as BigInt64Array
  const inside: number[] = []
  for (let row = 0; row < rowCount; row++) {
    const time = times[row] as bigint
    if (time >= window.lo && time < window.hi) inside.push(row)
  }
  return inside.length === rowCount ? batch : takeRows(batch, allColumns(dataset), Int32Array.from(inside))
}

// More rejects than this and the answer is not what the source says: nothing of it is written.
const REJECTS_MAX = 100
const REJECT_SHARE_MAX = 1 / 5
const REJECT_SHARE_MAX_OF_MANY = 1 / 1000
const MANY_RECORDS = 1000

/** Throws PermanentError, with the first rejects in its message, where too many records break the contract. */
export function checkRejectLimits(sourceIngestId: string, { rejects, records }: ParsedIngest): void {
  const count = rejects.length
  const limit =
    count > REJECTS_MAX
      ? `${REJECTS_MAX}`
      : records >= MANY_RECORDS && count > records * REJECT_SHARE_MAX_OF_MANY
        ? `0.1 % of ${records}`
        : count > records * REJECT_SHARE_MAX
          ? `a fifth of ${records}`
          : null
  if (limit === null) return
  const first = rejects
    .slice(0, 3)
    .map(({ pageNo, ordinal, code, detail }) => `page ${pageNo} record ${ordinal} ${code}: ${detail}`)
  throw new PermanentError(
    `ingest ${sourceIngestId}: expected at most ${limit} rejects, got ${count} (${first.join('; ')})`,
  )
}
