import type { Column, Dataset } from '../datasets/contract.ts'
import { type ColumnData, columnOf, type RowBatch, wordsOf } from '../datasets/row-batch.ts'
import './byte-order.ts'

/**
 * The order of rows in a file: by key, column by column, numbers by value and text by the bytes of its UTF-8 form.
 *
 * Each key column becomes numbers that sort as its values do, once, so that comparing two rows touches nothing but
 * Float64Arrays. Columns with one value only (symbol, timeframe and source of a bars file) drop out.
 */
export type SortKeys = readonly Float64Array[]

/** Byte-wise order of UTF-8 is the order of code points; JavaScript's own `<` compares UTF-16 units instead. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index)
    const right = b.charCodeAt(index)
    if (left !== right) return codePointRank(left) - codePointRank(right)
  }
  return a.length - b.length
}

/** Surrogates stand for code points above U+FFFF, so they go behind U+E000 to U+FFFF. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

/** Keys of the rows of all `batches`, counted through from the first to the last. */
export function keysOf(dataset: Dataset, batches: readonly RowBatch[]): SortKeys {
  const columns = dataset.key.map((name) => {
    const column = dataset.columns.find((candidate) => candidate.name === name)
    if (!column) throw new Error(`dataset ${dataset.name}: expected its key column ${name} among its columns`)
    return column
  })
  return sortKeysOf(columns, batches)
}

/** Numbers that sort the rows of all `batches` by `columns`, none of them nullable. */
export function sortKeysOf(columns: readonly Column[], batches: readonly RowBatch[]): SortKeys {
  const rowCount = batches.reduce((rows, batch) => rows + batch.rowCount, 0)
  return columns
    .flatMap((column) => {
      const parts = batches.map((batch) => columnOf(batch, column.name))
      return columnKeys(column, parts, rowCount)
    })
    .filter((numbers) => !isConstant(numbers))
}

function columnKeys({ name, type }: Column, parts: readonly ColumnData[], rowCount: number): Float64Array[] {
  switch (type) {
    case 'instant':
    case 'int64':
      return int64Keys(parts as readonly BigInt64Array[], rowCount)
    case 'date':
    case 'int32':
      return int32Keys(parts as readonly Int32Array[], rowCount)
    case 'string':
      return textKeys(parts as readonly (readonly string[])[], rowCount)
    case 'double':
      throw new Error(`key column ${name}: expected an instant, a date, an integer or a string, got a double`)
  }
}

/** Exact as doubles up to 2^53, which as an instant is the year 2255; beyond it, high and low words. */
function int64Keys(parts: readonly BigInt64Array[], rowCount: number): Float64Array[] {
  const high = new Float64Array(rowCount)
  const low = new Float64Array(rowCount)
  let row = 0
  let exact = true
  for (const part of parts) {
    const words = wordsOf(part)
    for (let word = 0; word < words.length; word += 2, row++) {
      const highWord = words[word + 1] as number
      if (highWord >= 0x20_0000 || highWord < -0x20_0000) exact = false
      high[row] = highWord
      low[row] = (words[word] as number) >>> 0
    }
  }
  if (!exact) return [high, low]
  for (let index = 0; index < rowCount; index++) {
    low[index] = (high[index] as number) * 0x1_0000_0000 + (low[index] as number)
  }
  return [low]
}

function int32Keys(parts: readonly Int32Array[], rowCount: number): Float64Array[] {
  const numbers = new Float64Array(rowCount)
  let row = 0
  for (const part of parts) {
    numbers.set(part, row)
    row += part.length
  }
  return [numbers]
}

/** Ranks among the distinct values. Equal neighbours, the usual case, cost one comparison. */
function textKeys(parts: readonly (readonly string[])[], rowCount: number): Float64Array[] {
  const numbers = new Float64Array(rowCount)
  const numberOf = new Map<string, number>()
  let previous: string | undefined
  let number = 0
  let row = 0
  for (const part of parts) {
    for (let index = 0; index < part.length; index++) {
      const value = part[index] as string
      if (value !== previous) {
        number = numberOf.get(value) ?? numberOf.size
        if (number === numberOf.size) numberOf.set(value, number)
        previous = value
      }
      numbers[row++] = number
    }
  }
  if (numberOf.size < 2) return []
  const ranks = new Float64Array(numberOf.size)
  for (const [rank, value] of [...numberOf.keys()].sort(compareText).entries()) ranks[numberOf.get(value) ?? 0] = rank
  for (let index = 0; index < rowCount; index++) numbers[index] = ranks[numbers[index] as number] as number
  return [numbers]
}

function isConstant(numbers: Float64Array): boolean {
  for (let row = 1; row < numbers.length; row++) if (numbers[row] !== numbers[0]) return false
  return true
}

/** Negative where row `a` comes before row `b`, 0 where they have the same key. */
export function compareRows(keys: SortKeys, a: number, b: number): number {
  for (let index = 0; index < keys.length; index++) {
    const numbers = keys[index] as Float64Array
    const order = (numbers[a] as number) - (numbers[b] as number)
    if (order !== 0) return order
  }
  return 0
}

/** The first row that is not after the row before it, or `rowCount`: then rows are in order and no key comes twice. */
export function firstOutOfOrder(keys: SortKeys, rowCount: number): number {
  for (let row = 1; row < rowCount; row++) if (compareRows(keys, row - 1, row) >= 0) return row
  return rowCount
}

/** Row numbers in key order; rows of one key stay in the order in which they came. */
export function sortedOrder(keys: SortKeys, rowCount: number): Int32Array {
  const order = new Int32Array(rowCount)
  for (let row = 0; row < rowCount; row++) order[row] = row
  const runs = ascendingRuns(keys, order)
  return mergeRuns(keys, order, runs)
}

/**
 * Ends of the ascending runs. A strictly descending one (a provider that answers newest first) is turned round; pages
 * that follow one another, and new rows behind those of a file, are a single run, and then nothing is left to sort.
 */
function ascendingRuns(keys: SortKeys, order: Int32Array): number[] {
  const ends: number[] = []
  let start = 0
  while (start < order.length) {
    let end = start + 1
    if (end < order.length && compareRows(keys, start, end) > 0) {
      while (end < order.length && compareRows(keys, end - 1, end) > 0) end++
      order.subarray(start, end).reverse()
    } else {
      while (end < order.length && compareRows(keys, end - 1, end) <= 0) end++
    }
    ends.push(end)
    start = end
  }
  return ends
}

/** Merges neighbouring runs until one is left: stable, and linear for the two runs of a file and what comes to it. */
function mergeRuns(keys: SortKeys, order: Int32Array, ends: number[]): Int32Array {
  let from: Int32Array = order
  let to: Int32Array = new Int32Array(order.length)
  let runs = ends
  while (runs.length > 1) {
    const merged: number[] = []
    for (let run = 0; run < runs.length; run += 2) {
      const start = runs[run - 1] ?? 0
      const middle = runs[run] as number
      const end = runs[run + 1] ?? middle
      mergeTwo(keys, from, to, { start, middle, end })
      merged.push(end)
    }
    ;[from, to, runs] = [to, from, merged]
  }
  return from
}

function mergeTwo(
  keys: SortKeys,
  from: Int32Array,
  to: Int32Array,
  { start, middle, end }: { readonly start: number; readonly middle: number; readonly end: number },
): void {
  let left = start
  let right = middle
  for (let out = start; out < end; out++) {
    const takeLeft =
      right >= end || (left < middle && compareRows(keys, from[left] as number, from[right] as number) <= 0)
    to[out] = from[takeLeft ? left++ : right++] as number
  }
}

/** Throws where rows are not in key order or a key comes twice: a file of such rows would break the next merge. */
export function assertKeyOrder(dataset: Dataset, rows: RowBatch): void {
  const row = firstOutOfOrder(keysOf(dataset, [rows]), rows.rowCount)
  if (row === rows.rowCount) return
  throw new Error(
    `rows of ${dataset.name}: expected ascending keys (${dataset.key.join(', ')}), got ${keyText(dataset, rows, row - 1)} before ${keyText(dataset, rows, row)}`,
  )
}

function keyText(dataset: Dataset, rows: RowBatch, row: number): string {
  return `(${dataset.key.map((name) => String(columnOf(rows, name)[row])).join(', ')})`
}
