import type { z } from 'zod'

/**
 * What a dataset is, said once. The Parquet schema, the column checks, the merge key and the partition paths all come
 * from here.
 *
 * | type    | value in memory           | Parquet                                  |
 * |---------|---------------------------|------------------------------------------|
 * | instant | bigint, µs since epoch    | INT64, TIMESTAMP(MICROS, adjusted to UTC) |
 * | date    | number, days since epoch  | INT32, DATE                              |
 * | double  | number                    | DOUBLE                                   |
 * | int64   | bigint                    | INT64                                    |
 * | int32   | number                    | INT32                                    |
 * | string  | string                    | BYTE_ARRAY, STRING                       |
 */
export type ColumnType = 'instant' | 'date' | 'double' | 'int64' | 'int32' | 'string'

export type Column = {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  readonly description: string
  /** Unit of the values where the type does not say it. */
  readonly unit?: string
  /** Of a string column: the only values there are. */
  readonly oneOf?: readonly string[]
}

export type Granularity = 'year' | 'month'

export type Dataset = {
  readonly name: string
  /** Contract version: grows with every change of columns, key or partitioning. */
  readonly contractVersion: number
  readonly description: string
  /** Business columns in file order; the provenance columns follow them in every file. */
  readonly columns: readonly Column[]
  /** Names of required columns. At most one row per key, whatever was delivered. */
  readonly key: readonly string[]
  /** The required instant column that decides window and partition of a row. It is part of the key and never changes. */
  readonly eventTime: string
  /** How much time one file holds, so that it has roughly a thousand to a million rows. */
  readonly partitionBy: (place: { readonly timeframe?: string | undefined }) => Granularity
  /** The readable form of one row; a property test shows that it and the column checks accept the same records. */
  readonly row: z.ZodType
}

/** Columns that every curated row carries after its business columns: which raw page it came from, and when. */
export const PROVENANCE_COLUMNS = [
  {
    name: '_observed_at',
    type: 'instant',
    nullable: false,
    description: 'database time at the claim of the attempt that fetched the page, plus its page number in µs',
  },
  { name: '_raw_sha256', type: 'string', nullable: false, description: 'first 16 hex digits of the raw page' },
  { name: '_raw_row', type: 'int32', nullable: false, description: 'ordinal of the record in its raw page, from 0' },
] as const satisfies readonly Column[]

export function allColumns(dataset: Dataset): readonly Column[] {
  return [...dataset.columns, ...PROVENANCE_COLUMNS]
}

/** Checks what the type system cannot: called for every dataset when the registry is loaded. */
export function defineDataset(dataset: Dataset): Dataset {
  const byName = new Map(dataset.columns.map((column) => [column.name, column]))
  if (byName.size !== dataset.columns.length) throw new Error(`dataset ${dataset.name}: a column name is used twice`)
  for (const name of dataset.key) {
    const column = byName.get(name)
    // Doubles have values that are equal and differ in bits, so they identify nothing.
    if (column?.nullable !== false || column.type === 'double') {
      throw new Error(`dataset ${dataset.name}: key column ${name} must exist, be required and be no double`)
    }
  }
  const eventTime = byName.get(dataset.eventTime)
  if (eventTime?.type !== 'instant' || !dataset.key.includes(dataset.eventTime)) {
    throw new Error(`dataset ${dataset.name}: event time ${dataset.eventTime} must be an instant and part of the key`)
  }
  return dataset
}
