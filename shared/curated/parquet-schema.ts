import type { Encoding, SchemaElement } from 'hyparquet'
import { allColumns, type Column, type ColumnType, type Dataset } from '../datasets/contract.ts'

/**
 * The Parquet form of a contract, for writer and reader. Every type has its converted and its logical type: old readers
 * know the one, new ones the other, and with only one of them DuckDB takes an instant for a local time. Plain integers
 * have only the converted one: hyparquet-writer 0.17.0 writes the width of the logical one as an i32 where the format
 * has an i8, and DuckDB refuses the file.
 */
type ParquetForm = Pick<SchemaElement, 'type' | 'converted_type' | 'logical_type'> & {
  /** By contract, never by the writer's guess, so that a file does not change its form with its values. */
  readonly encoding: Encoding
}

const FORMS: Readonly<Record<ColumnType, ParquetForm>> = {
  instant: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    encoding: 'DELTA_BINARY_PACKED',
  },
  date: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' }, encoding: 'DELTA_BINARY_PACKED' },
  int64: {
    type: 'INT64',
    converted_type: 'INT_64',
    encoding: 'DELTA_BINARY_PACKED',
  },
  int32: {
    type: 'INT32',
    converted_type: 'INT_32',
    encoding: 'DELTA_BINARY_PACKED',
  },
  double: { type: 'DOUBLE', encoding: 'PLAIN' },
  string: {
    type: 'BYTE_ARRAY',
    converted_type: 'UTF8',
    logical_type: { type: 'STRING' },
    encoding: 'RLE_DICTIONARY',
  },
}

/** Rows of one row group: what a reader must hold at once, and what it can skip by statistics. */
export const ROW_GROUP_ROWS = 100_000

/** More rows than a partition may have, ever: bounds what a damaged file can make a reader allocate. */
export const FILE_ROWS_MAX = 5_000_000

export function columnEncoding({ type }: Column): Encoding {
  return FORMS[type].encoding
}

export function parquetSchema(dataset: Dataset): SchemaElement[] {
  const columns = allColumns(dataset)
  return [{ name: 'root', num_children: columns.length }, ...columns.map(schemaElement)]
}

export function schemaElement({ name, type, nullable }: Column): SchemaElement {
  const { encoding: _, ...form } = FORMS[type]
  return { name, repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED', ...form }
}

/** The file's own word on what it is: these three keys and nothing else. */
export const METADATA_KEYS = {
  dataset: 'dataset',
  contract: 'contract_version',
  transform: 'transform_version',
} as const
