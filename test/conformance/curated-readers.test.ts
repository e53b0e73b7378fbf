import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBConnection, DuckDBDateValue, DuckDBTimestampTZValue, type DuckDBValue } from '@duckdb/node-api'
import { type Table, tableFromIPC, type Vector } from 'apache-arrow'
import { parquetMetadata, parquetRead } from 'hyparquet'
import { readParquet } from 'parquet-wasm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mergeAll } from '../../shared/curated/merge.ts'
import { encodePartition } from '../../shared/curated/parquet-writer.ts'
import { compareText } from '../../shared/curated/row-order.ts'
import { allColumns, type Column, type ColumnType, type Dataset } from '../../shared/datasets/contract.ts'
import { DATASETS } from '../../shared/datasets/registry.ts'
import { columnOf, type RowBatch } from '../../shared/datasets/row-batch.ts'
import { everyType } from '../curated/every-type.ts'
import { generateRows } from '../curated/rows.ts'

type Value = bigint | number | string | null

/** The types that readers must see: the contract's, each in its own words. */
const DUCKDB_TYPES: Readonly<Record<ColumnType, string>> = {
  instant: 'TIMESTAMP WITH TIME ZONE',
  date: 'DATE',
  double: 'DOUBLE',
  int64: 'BIGINT',
  int32: 'INTEGER',
  string: 'VARCHAR',
}
const ARROW_TYPES: Readonly<Record<ColumnType, string>> = {
  instant: 'Timestamp<MICROSECOND, UTC>',
  date: 'Date32<DAY>',
  double: 'Float64',
  int64: 'Int64',
  int32: 'Int32',
  string: 'Utf8',
}

const folder = await mkdtemp(join(tmpdir(), 'tributary-readers-'))
afterAll(() => rm(folder, { recursive: true }))

// Every dataset of the platform, and one with the types that none of them has yet.
describe.each([...DATASETS.values(), everyType])('a curated file of $name', (dataset) => {
  const columns = allColumns(dataset)
  const rows = mergeAll(dataset, [generateRows(dataset, 5_000)])
  const bytes = encodePartition({ dataset, rows, transformVersion: 1 })
  const path = join(folder, `${dataset.name}.parquet`)
  let duckdb: DuckDBConnection

  beforeAll(async () => {
    await writeFile(path, bytes)
    await writeFile(join(folder, 'empty.parquet'), emptyFile(dataset))
    duckdb = await DuckDBConnection.create()
  })
  afterAll(() => duckdb.closeSync())

  const query = async (sql: string) => (await duckdb.runAndReadAll(sql)).getRowObjects()

  test('holds values that break readers', () => {
    expect(rows.rowCount).toBe(5_000)
    for (const column of columns.filter(({ nullable }) => nullable)) {
      expect([...columnOf(rows, column.name)]).toContain(null)
    }
  })

  test('has the types of the contract in DuckDB', async () => {
    const described = await query(`describe select * from '${path}'`)
    expect(described.map(({ column_name, column_type }) => [column_name, column_type])).toEqual(
      columns.map(({ name, type }) => [name, DUCKDB_TYPES[type]]),
    )
  })

  test('has the same values in DuckDB', async () => {
    const reader = await duckdb.runAndReadAll(`select * from '${path}'`)
    const found = reader.getColumnsObject()
    for (const { name } of columns) expect(found[name]?.map(fromDuckDB), name).toEqual(valuesOf(rows, name))
  })

  test('has statistics in DuckDB that are the least and the greatest value and the number of nulls', async () => {
    const found = await query(
      `select path_in_schema as name, stats_min_value as low, stats_max_value as high, stats_null_count as nulls from parquet_metadata('${path}')`,
    )
    for (const [index, column] of columns.entries()) {
      const { low, high, nulls } = found[index] ?? {}
      const { least, greatest, nullCount } = boundsOf(column, valuesOf(rows, column.name))
      const type = DUCKDB_TYPES[column.type]
      const cast = await duckdb.runAndReadAll(`select $1::${type}, $2::${type}`, [low ?? null, high ?? null])
      expect(cast.getRows()[0]?.map(fromDuckDB).map(withoutSign), column.name).toEqual([least, greatest])
      expect(nulls, column.name).toBe(BigInt(nullCount))
    }
  })

  test('has the same types and values in Arrow', () => {
    const table = arrowTable(bytes)
    expect(table.schema.fields.map(({ name, type, nullable }) => [name, String(type), nullable])).toEqual(
      columns.map(({ name, type, nullable }) => [name, ARROW_TYPES[type], nullable]),
    )
    for (const column of columns) {
      expect(arrowValues(column, table.getChild(column.name)), column.name).toEqual(valuesOf(rows, column.name))
    }
  })

  test('has the same types, values and statistics in hyparquet', async () => {
    const metadata = parquetMetadata(bytes, { parsers: EXACT })
    for (const [index, column] of columns.entries()) {
      const statistics = metadata.row_groups[0]?.columns[index]?.meta_data?.statistics
      const { least, greatest, nullCount } = boundsOf(column, valuesOf(rows, column.name))
      expect([statistics?.min_value, statistics?.max_value].map(withoutSign), column.name).toEqual([least, greatest])
      expect(statistics?.null_count, column.name).toBe(BigInt(nullCount))
    }
    const found = await hyparquetColumns(bytes)
    for (const { name } of columns) expect(found.get(name), name).toEqual(valuesOf(rows, name))
  })

  test('can be empty', async () => {
    const empty = join(folder, 'empty.parquet')
    expect(await query(`select count(*) as rows from '${empty}'`)).toEqual([{ rows: 0n }])
    expect(arrowTable(emptyFile(dataset)).numRows).toBe(0)
  })

  test('is refused by parquetjs-lite, which knows format version 1 and no RLE_DICTIONARY', async () => {
    const parquetjs: { ParquetReader: { openBuffer(bytes: Buffer): Promise<unknown> } } = createRequire(
      import.meta.url,
    )('parquetjs-lite')
    await expect(parquetjs.ParquetReader.openBuffer(Buffer.from(bytes))).rejects.toBe('invalid parquet version')
  })
})

function emptyFile(dataset: Dataset): Uint8Array {
  return encodePartition({ dataset, rows: mergeAll(dataset, []), transformVersion: 1 })
}

function valuesOf(rows: RowBatch, name: string): Value[] {
  return Array.from<Value>(columnOf(rows, name))
}

function boundsOf({ type }: Column, values: readonly Value[]) {
  const present = values.filter((value) => value !== null)
  const less = (a: Value, b: Value) =>
    type === 'string' ? compareText(String(a), String(b)) < 0 : Number(a !== null && b !== null && a < b) === 1
  return {
    least: present.reduce((a, b) => (less(b, a) ? b : a)),
    greatest: present.reduce((a, b) => (less(a, b) ? b : a)),
    nullCount: values.length - present.length,
  }
}

/** The format wants −0 as the lower bound of a zero, and 0 as the upper one. */
function withoutSign<T>(value: T): T | 0 {
  return value === 0 ? 0 : value
}

function fromDuckDB(value: DuckDBValue): DuckDBValue {
  if (value instanceof DuckDBTimestampTZValue) return value.micros
  return value instanceof DuckDBDateValue ? value.days : value
}

function arrowTable(bytes: Uint8Array): Table {
  return tableFromIPC(readParquet(bytes).intoIPCStream())
}

/** `get` of an instant gives a float of milliseconds: the exact value is in the array below. */
function arrowValues({ type }: Column, vector: Vector | null): Value[] {
  if (type !== 'instant' && type !== 'date') return Array.from<Value>(vector ?? [])
  return (vector?.data ?? []).flatMap((data) =>
    Array.from<Value, Value>(data.values.subarray(0, data.length), (value, index) =>
      data.getValid(index) ? value : null,
    ),
  )
}

/** hyparquet makes a Date of milliseconds of each instant unless it is told otherwise. */
const EXACT = {
  timestampFromMicroseconds: (micros: bigint) => micros,
  dateFromDays: (days: number) => days,
}

async function hyparquetColumns(bytes: Uint8Array): Promise<ReadonlyMap<string, Value[]>> {
  const columns = new Map<string, Value[]>()
  const buffer = bytes.slice().buffer
  await parquetRead({
    file: buffer,
    parsers: EXACT,
    onChunk: ({ columnName, columnData }) => {
      columns.set(columnName, [...(columns.get(columnName) ?? []), ...Array.from(columnData as Iterable<Value>)])
    },
  })
  return columns
}
