import { allColumns, type Dataset, PROVENANCE_COLUMNS } from '../datasets/contract.ts'
import {
  assertColumns,
  type ColumnData,
  columnOf,
  concatValues,
  emptyBatch,
  type RowBatch,
  takeValues,
} from '../datasets/row-batch.ts'
import { countDifferent, type RowPairs } from './row-difference.ts'
import { compareRows, keysOf, type SortKeys, sortedOrder, sortKeysOf } from './row-order.ts'

/**
 * The merge of curated rows. Per key the row with the greatest identity (`_observed_at`, `_raw_sha256`, `_raw_row`)
 * wins, and nothing else counts: that makes the merge commutative, associative and idempotent, so any order, any
 * repetition and any number of workers give the same rows. It never takes a key away.
 *
 * An identity names one record of one raw page, so two rows of one key and one identity are the same row.
 */

/** What became of the incoming rows. Their sum is the number of incoming rows. */
export type Outcomes = {
  /** The key was not there. */
  readonly inserted: number
  /** The key was there, the incoming row wins, and its business columns differ. */
  readonly updated: number
  /** The key was there, the incoming row wins, and its business columns are equal; its provenance replaces the old. */
  readonly unchanged: number
  /** Another row of the key wins, of the file or of the incoming rows. */
  readonly superseded: number
}

export type Merged = {
  /** In key order, one row per key. May share memory with what was merged. */
  readonly rows: RowBatch
  readonly outcomes: Outcomes
  /** A row of the file is one of the incoming rows: an earlier try of the same work has written here. */
  readonly ownRowsInFile: boolean
}

/** `file` has one row per key, as every curated file. Both sides have every column of the contract. */
export function mergeRows({
  dataset,
  file,
  incoming,
}: {
  readonly dataset: Dataset
  readonly file: RowBatch | null
  readonly incoming: RowBatch
}): Merged {
  const batches = file ? [file, incoming] : [incoming]
  const { winners, inserted, replaced, ownRowsInFile } = resolve(dataset, batches, file?.rowCount ?? 0)
  const updated = file ? countDifferent(dataset, { left: file, right: incoming, pairs: replaced }) : 0
  return {
    rows: gather(dataset, batches, winners),
    outcomes: {
      inserted,
      updated,
      unchanged: replaced.left.length - updated,
      superseded: incoming.rowCount - inserted - replaced.left.length,
    },
    ownRowsInFile,
  }
}

/** The winners of all batches, in key order: what a rebuild writes. */
export function mergeAll(dataset: Dataset, batches: readonly RowBatch[]): RowBatch {
  if (batches.length === 0) return emptyBatch(allColumns(dataset))
  return gather(dataset, batches, resolve(dataset, batches, 0).winners)
}

type Resolved = {
  /** Winning rows in key order, counted through all batches. */
  readonly winners: Int32Array
  readonly inserted: number
  /** Rows of the file, and the incoming rows that take their keys. */
  readonly replaced: RowPairs
  readonly ownRowsInFile: boolean
}

/** Sorts by key and picks one row of each. The first `fileCount` rows are those of the file. */
function resolve(dataset: Dataset, batches: readonly RowBatch[], fileCount: number): Resolved {
  const columns = allColumns(dataset)
  for (const batch of batches) assertColumns(batch, columns)
  const rowCount = batches.reduce((rows, batch) => rows + batch.rowCount, 0)
  const keys = keysOf(dataset, batches)
  const order = sortedOrder(keys, rowCount)
  const compareIdentity = identityOrder(batches)

  const fileRows = new Int32Array(Math.min(fileCount, rowCount - fileCount))
  const incomingRows = new Int32Array(fileRows.length)
  let replacedCount = 0
  let keyCount = 0
  let inserted = 0
  let ownRowsInFile = false
  for (let start = 0, end = 0; start < rowCount; start = end) {
    const first = order[start] as number
    end = groupEnd(keys, order, start)
    let winner = first
    for (let place = start + 1; place < end; place++) {
      const row = order[place] as number
      if (row < fileCount)
        throw new Error(`file of ${dataset.name}: expected one row per key, got rows ${first} and ${row}`)
      if (compareIdentity(row, winner) >= 0) winner = row
      if (first < fileCount && compareIdentity(row, first) === 0) ownRowsInFile = true
    }
    // Winners are fewer than the rows seen, so the order that was read makes room for them.
    order[keyCount++] = winner
    if (first >= fileCount) {
      inserted++
    } else if (winner >= fileCount) {
      fileRows[replacedCount] = first
      incomingRows[replacedCount++] = winner - fileCount
    }
  }
  return {
    winners: order.subarray(0, keyCount),
    inserted,
    replaced: { left: fileRows.subarray(0, replacedCount), right: incomingRows.subarray(0, replacedCount) },
    ownRowsInFile,
  }
}

function groupEnd(keys: SortKeys, order: Int32Array, start: number): number {
  let end = start + 1
  while (end < order.length && compareRows(keys, order[start] as number, order[end] as number) === 0) end++
  return end
}

/** Compares identities of rows that are counted through all batches; built only where two rows have one key. */
function identityOrder(batches: readonly RowBatch[]): (a: number, b: number) => number {
  let identities: SortKeys | undefined
  return (a, b) => {
    identities ??= sortKeysOf(PROVENANCE_COLUMNS, batches)
    return compareRows(identities, a, b)
  }
}

/** The rows at `order`, column by column, so that only one column at a time is held twice. */
function gather(dataset: Dataset, batches: readonly RowBatch[], order: Int32Array): RowBatch {
  const rowCount = batches.reduce((rows, batch) => rows + batch.rowCount, 0)
  const inPlace = order.length === rowCount && isCounting(order)
  const columns: Record<string, ColumnData> = {}
  for (const column of allColumns(dataset)) {
    const parts = batches.map((batch) => columnOf(batch, column.name))
    const text = column.type === 'string' ? onlyValue(parts as readonly (readonly (string | null)[])[]) : undefined
    if (text !== undefined) columns[column.name] = new Array<string | null>(order.length).fill(text)
    else if (inPlace) columns[column.name] = concatValues(column, parts)
    else columns[column.name] = takeValues(parts[0] ?? [], order, concatValues(column, parts.slice(1)))
  }
  return { rowCount: order.length, columns }
}

function isCounting(order: Int32Array): boolean {
  for (let place = 0; place < order.length; place++) if (order[place] !== place) return false
  return true
}

/** The value that all rows share, or undefined: symbol, timeframe, source of a file are filled in, not moved. */
function onlyValue(parts: readonly (readonly (string | null)[])[]): string | null | undefined {
  const value = parts.find((part) => part.length > 0)?.[0]
  for (const part of parts) for (let row = 0; row < part.length; row++) if (part[row] !== value) return undefined
  return value
}
