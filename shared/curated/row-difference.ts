import type { Dataset } from '../datasets/contract.ts'
import { type ColumnData, columnOf, type RowBatch, wordsOf } from '../datasets/row-batch.ts'
import { equalDoubles } from './canonical-double.ts'
import { compareRows, keysOf } from './row-order.ts'

/** Row numbers of two batches that belong together: `left[n]` and `right[n]` have the same key. */
export type RowPairs = { readonly left: Int32Array; readonly right: Int32Array }

type Compared = { readonly left: RowBatch; readonly right: RowBatch; readonly pairs: RowPairs }

/** How many pairs differ in a business column. */
export function countDifferent(dataset: Dataset, { left, right, pairs }: Compared): number {
  const differs = new Uint8Array(pairs.left.length)
  for (const { name } of dataset.columns) markDifferent(columnOf(left, name), columnOf(right, name), pairs, differs)
  return differs.reduce((count, one) => count + one, 0)
}

/** What became of the rows of a partition that was made again. */
export type RowDifference = {
  readonly added: number
  /** The key stayed, a business column did not. */
  readonly changed: number
  readonly unchanged: number
  readonly removed: number
}

/** Compares two batches that are in key order with one row per key, as every curated file is. */
export function differenceOf(dataset: Dataset, before: RowBatch, after: RowBatch): RowDifference {
  const keys = keysOf(dataset, [before, after])
  const left = new Int32Array(Math.min(before.rowCount, after.rowCount))
  const right = new Int32Array(left.length)
  let pairs = 0
  for (let old = 0, now = 0; old < before.rowCount && now < after.rowCount; ) {
    const order = compareRows(keys, old, before.rowCount + now)
    if (order === 0) {
      left[pairs] = old
      right[pairs++] = now
    }
    if (order <= 0) old++
    if (order >= 0) now++
  }
  const common = { left: left.subarray(0, pairs), right: right.subarray(0, pairs) }
  const changed = countDifferent(dataset, { left: before, right: after, pairs: common })
  return { added: after.rowCount - pairs, changed, unchanged: pairs - changed, removed: before.rowCount - pairs }
}

/** One loop per kind of array, as in `takeValues`. */
function markDifferent(a: ColumnData, b: ColumnData, pairs: RowPairs, differs: Uint8Array): void {
  const count = differs.length
  if (a instanceof BigInt64Array && b instanceof BigInt64Array) {
    const left = wordsOf(a)
    const right = wordsOf(b)
    for (let pair = 0; pair < count; pair++) {
      const i = 2 * (pairs.left[pair] as number)
      const j = 2 * (pairs.right[pair] as number)
      if (left[i] !== right[j] || left[i + 1] !== right[j + 1]) differs[pair] = 1
    }
  } else if (a instanceof Float64Array && b instanceof Float64Array) {
    for (let pair = 0; pair < count; pair++) {
      const left = a[pairs.left[pair] as number] as number
      const right = b[pairs.right[pair] as number] as number
      if (left !== right && !equalDoubles(left, right)) differs[pair] = 1
    }
  } else if (a instanceof Int32Array && b instanceof Int32Array) {
    for (let pair = 0; pair < count; pair++) {
      if (a[pairs.left[pair] as number] !== b[pairs.right[pair] as number]) differs[pair] = 1
    }
  } else {
    for (let pair = 0; pair < count; pair++) {
      const left = a[pairs.left[pair] as number]
      const right = b[pairs.right[pair] as number]
      if (left !== right && !(Number.isNaN(left) && Number.isNaN(right))) differs[pair] = 1
    }
  }
}
