import { createHash, type Hash } from 'node:crypto'
import type { Column, Dataset } from '../datasets/contract.ts'
import { assertColumns, type ColumnData, columnOf, type RowBatch } from '../datasets/row-batch.ts'
import { bytesOf } from './byte-order.ts'
import { canonicalDouble, canonicalDoubles } from './canonical-double.ts'
import { assertKeyOrder } from './row-order.ts'

/**
 * SHA-256, in hex, of the business columns: equal for two files that tell a reader the same, whatever pages their rows
 * came from. The rows are in key order.
 *
 * What is hashed can be read back, so no two batches share it: a line of JSON with the columns and the number of rows,
 * then column by column, little-endian,
 *
 * - numbers: one mark per row where the column may be null (1 is null), then one value per row, 0 where it is null;
 * - text: the number of distinct values; the UTF-8 length of each, in the order of first use; their bytes; then for
 *   each row the number of its value, 2^32 − 1 for null.
 */
export function contentSha256(dataset: Dataset, rows: RowBatch): string {
  assertColumns(rows, dataset.columns)
  assertKeyOrder(dataset, rows)
  const hash = createHash('sha256')
  const columns = dataset.columns.map(({ name, type, nullable }) => ({ name, type, nullable }))
  hash.update(`${JSON.stringify({ columns, rows: rows.rowCount })}\n`)
  for (const column of dataset.columns) hashColumn(hash, column, columnOf(rows, column.name))
  return hash.digest('hex')
}

function hashColumn(hash: Hash, column: Column, values: ColumnData): void {
  if (column.type === 'string') hashText(hash, values as readonly (string | null)[])
  else if (values instanceof Float64Array) hash.update(bytesOf(canonicalDoubles(values)))
  else if (values instanceof BigInt64Array || values instanceof Int32Array) hash.update(bytesOf(values))
  else hashNullable(hash, column, values)
}

function hashNullable(hash: Hash, { type }: Column, values: readonly (bigint | number | string | null)[]): void {
  const marks = new Uint8Array(values.length)
  const int64 = type === 'instant' || type === 'int64' ? new BigInt64Array(values.length) : undefined
  const int32 = type === 'date' || type === 'int32' ? new Int32Array(values.length) : undefined
  const double = type === 'double' ? new Float64Array(values.length) : undefined
  for (let row = 0; row < values.length; row++) {
    const value = values[row]
    if (value === null) marks[row] = 1
    else if (int64) int64[row] = value as bigint
    else if (double) double[row] = canonicalDouble(value as number)
    else if (int32) int32[row] = value as number
  }
  hash.update(marks)
  const numbers = int64 ?? int32 ?? double
  if (numbers) hash.update(bytesOf(numbers))
}

const NULL_NUMBER = 0xffff_ffff
// Distinct texts are joined before they are encoded, this many at a time: one call for each is four times slower.
const TEXTS_AT_A_TIME = 10_000

function hashText(hash: Hash, values: readonly (string | null)[]): void {
  const numbers = new Uint32Array(values.length)
  const numberOf = new Map<string | null, number>()
  let previous: string | null | undefined
  let number = 0
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as string | null
    if (value !== previous) {
      number = value === null ? NULL_NUMBER : (numberOf.get(value) ?? numberOf.size)
      if (number === numberOf.size) numberOf.set(value, number)
      previous = value
    }
    numbers[row] = number
  }
  const distinct = [...numberOf.keys()] as string[]
  hash.update(Uint32Array.of(distinct.length))
  hash.update(Uint32Array.from(distinct, (text) => Buffer.byteLength(text, 'utf8')))
  for (let first = 0; first < distinct.length; first += TEXTS_AT_A_TIME) {
    hash.update(distinct.slice(first, first + TEXTS_AT_A_TIME).join(''), 'utf8')
  }
  hash.update(numbers)
}
