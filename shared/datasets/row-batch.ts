import type { Column } from './contract.ts'

/**
 * Values of one column. A required number lives in a typed array; what may be null, and every string, in a plain one.
 * instant, int64 → bigint · date, int32, double → number · string → string
 */
export type ColumnData =
  | BigInt64Array
  | Float64Array
  | Int32Array
  | readonly (bigint | null)[]
  | readonly (number | null)[]
  | readonly (string | null)[]

/** Rows as columns: what goes from parse to merge to the Parquet writer without an object per row. */
export type RowBatch = {
  readonly rowCount: number
  /** By column name; every array has `rowCount` values. */
  readonly columns: Readonly<Record<string, ColumnData>>
}

/** The column's values, or an error that names it: for code that knows the contract has it. */
export function columnOf(batch: RowBatch, name: string): ColumnData {
  const data = batch.columns[name]
  if (data === undefined) {
    throw new Error(`expected a column ${name}, got the columns ${Object.keys(batch.columns).join(', ')}`)
  }
  return data
}

/** An empty array of the kind that `columns` asks for, with room for `length` values. */
export function allocateColumn(column: Column, length: number): BigInt64Array | Float64Array | Int32Array | null[] {
  if (column.nullable || column.type === 'string') return new Array<null>(length).fill(null)
  if (column.type === 'instant' || column.type === 'int64') return new BigInt64Array(length)
  if (column.type === 'double') return new Float64Array(length)
  return new Int32Array(length)
}

/** The rows at `indexes`, in that order. */
export function takeRows(batch: RowBatch, columns: readonly Column[], indexes: Int32Array): RowBatch {
  const taken: Record<string, ColumnData> = {}
  for (const column of columns) {
    const from = columnOf(batch, column.name)
    const to = allocateColumn(column, indexes.length) as unknown[]
    for (let row = 0; row < indexes.length; row++) to[row] = from[indexes[row] as number]
    taken[column.name] = to as unknown as ColumnData
  }
  return { rowCount: indexes.length, columns: taken }
}
