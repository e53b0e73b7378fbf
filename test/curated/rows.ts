import { bars } from '../../shared/datasets/bars.ts'
import { allColumns, type Column, type Dataset } from '../../shared/datasets/contract.ts'
import { allocateColumn, type ColumnData, columnOf, type RowBatch } from '../../shared/datasets/row-batch.ts'

/** Rows as people write them, for tests only. */
export type Row = Readonly<Record<string, bigint | number | string | null>>

export function toBatch(dataset: Dataset, rows: readonly Row[]): RowBatch {
  const columns: Record<string, ColumnData> = {}
  for (const column of allColumns(dataset)) {
    const values = allocateColumn(column, rows.length) as unknown[]
    for (const [index, row] of rows.entries()) values[index] = row[column.name] ?? null
    columns[column.name] = values as unknown as ColumnData
  }
  return { rowCount: rows.length, columns }
}

export function toRows(dataset: Dataset, batch: RowBatch): Row[] {
  return Array.from({ length: batch.rowCount }, (_, index) =>
    Object.fromEntries(
      allColumns(dataset).map(({ name }) => [name, columnOf(batch, name)[index] as bigint | number | string | null]),
    ),
  )
}

/** One bar; what a test does not name is the same in every row. */
export function bar(row: Row): Row {
  return {
    ts: 0n,
    session_date: 0,
    open: 1,
    high: 2,
    low: 0.5,
    close: 1.5,
    volume: 10,
    symbol: 'AAPL',
    timeframe: '1m',
    source: 'alpaca',
    adjustment: 'raw',
    trade_count: 3n,
    vwap: 1.25,
    _observed_at: 0n,
    _raw_sha256: '0123456789abcdef',
    _raw_row: 0,
    ...row,
  }
}

export const barBatch = (...rows: readonly Row[]) => toBatch(bars, rows.map(bar))

/** Numbers from a seed: the same on every machine and in every run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

const DOUBLES = [0, -1.5, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -5e-324, 0.1, 1e-300, 123456.789]
const INT64S = [0n, -1n, 9_007_199_254_740_993n, -9_007_199_254_740_993n, 2n ** 63n - 1n, -(2n ** 63n), 60_000_000n]
const INT32S = [0, -1, 2 ** 31 - 1, -(2 ** 31), 7]
const TEXTS = ['AAPL', '^NDX', 'BTC/USD', 'ÅÄÖ', '日経225', '😀', '\uffee', 'x'.repeat(60), 'NULL', "it's", 'a\u0000b']
// Instants and dates that every reader can show: years 1000 to 2999, with a microsecond that no millisecond has.
const INSTANTS = [-30_610_224_000_000_001n, -1n, 0n, 1n, 1_700_000_000_123_456n, 32_503_679_999_999_999n]
const DATES = [-354_285, -1, 0, 1, 19_675, 376_199]

/**
 * Rows of the contract with the values that break readers, and nulls where the contract allows them. The event time
 * steps by a prime number of microseconds from long before 1970, so keys differ and rows are in order if no other key
 * column varies; those stay constant.
 */
export function generateRows(dataset: Dataset, rowCount: number, seed = 1): RowBatch {
  const random = seeded(seed)
  const pick = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)] as T
  const columns: Record<string, ColumnData> = {}
  for (const column of allColumns(dataset)) {
    const values = allocateColumn(column, rowCount) as unknown[]
    const constant = dataset.key.includes(column.name)
    const fixed = generateValue(column, pick)
    for (let row = 0; row < rowCount; row++) {
      if (column.name === dataset.eventTime) values[row] = -5_000_000_000_000n + BigInt(row) * 2_000_000_011n
      else if (constant) values[row] = fixed
      else values[row] = column.nullable && random() < 0.2 ? null : generateValue(column, pick)
    }
    columns[column.name] = values as unknown as ColumnData
  }
  return { rowCount, columns }
}

function generateValue({ type }: Column, pick: <T>(values: readonly T[]) => T): bigint | number | string {
  switch (type) {
    case 'double':
      return pick(DOUBLES)
    case 'int64':
      return pick(INT64S)
    case 'instant':
      return pick(INSTANTS)
    case 'int32':
      return pick(INT32S)
    case 'date':
      return pick(DATES)
    case 'string':
      return pick(TEXTS)
  }
}
