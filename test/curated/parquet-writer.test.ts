import { createHash } from 'node:crypto'
import { type FileMetaData, parquetMetadata } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { encodePartition } from '../../shared/curated/parquet-writer.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { allColumns } from '../../shared/datasets/contract.ts'
import { columnOf, type RowBatch } from '../../shared/datasets/row-batch.ts'
import { everyType } from './every-type.ts'
import { writtenByLibrary } from './library-file.ts'
import { barBatch, generateRows, type Row } from './rows.ts'

const encode = (rows: RowBatch) => encodePartition({ dataset: bars, rows, transformVersion: 3 })
const encodeRows = (...rows: readonly Row[]) => encode(barBatch(...rows))

function metadataOf(bytes: Uint8Array): FileMetaData {
  return parquetMetadata(bytes)
}

describe('encodePartition', () => {
  test('writes the bytes it always wrote', () => {
    // Curated bytes are a function of the raw pages, the contract, the transform and this writer. When this hash
    // changes, every stored file differs from its rebuild: let the number in CREATED_BY of parquet-writer.ts grow,
    // say in the commit why, plan a rebuild of every partition, and only then put the new hash here.
    const bytes = encode(generateRows(bars, 2_500))
    expect(createHash('sha256').update(bytes).digest('hex')).toMatchInlineSnapshot(
      `"76fcb28e04635e17fd0de9d1dcfc464d809b93b87c6e0df1f4f927e4125fbcd5"`,
    )
  })

  test.each([1, 7, 8, 9, 129, 2_500])('writes %i rows as hyparquet-writer would by itself', (rowCount) => {
    for (const dataset of [bars, everyType]) {
      const rows = generateRows(dataset, rowCount, rowCount)
      const bytes = encodePartition({ dataset, rows, transformVersion: 3 })
      expect(Buffer.from(bytes).equals(writtenByLibrary(dataset, rows))).toBe(true)
    }
  })

  test('writes columns of nulls and of NaN only as hyparquet-writer would by itself', () => {
    const rows = barBatch({ volume: null, trade_count: null, vwap: Number.NaN, open: Number.NaN })
    expect(Buffer.from(encode(rows)).equals(writtenByLibrary(bars, rows))).toBe(true)
  })

  test('writes the same bytes for rows of other memory', () => {
    const rows = generateRows(bars, 500)
    const copied = Object.entries(rows.columns).map(([name, values]) => [name, values.slice()])
    expect(encode({ rowCount: 500, columns: Object.fromEntries(copied) })).toEqual(encode(rows))
  })

  test('says of itself dataset, contract version and transform version, and nothing else', () => {
    const { key_value_metadata, created_by } = metadataOf(encodeRows({}))
    expect(key_value_metadata).toEqual([
      { key: 'dataset', value: 'bars' },
      { key: 'contract_version', value: '1' },
      { key: 'transform_version', value: '3' },
    ])
    expect(created_by).toBe('tributary version 1')
  })

  test('encodes by type, whatever the values are', () => {
    const encodingOf = { instant: 5, date: 5, int64: 5, int32: 5, double: 0, string: 8 }
    const names = ['PLAIN', '', '', '', '', 'DELTA_BINARY_PACKED', '', '', 'RLE_DICTIONARY']
    for (const rows of [generateRows(bars, 2_000), barBatch({}), barBatch({ volume: null, vwap: null })]) {
      const chunks = metadataOf(encode(rows)).row_groups[0]?.columns ?? []
      expect(chunks.map(({ meta_data }) => meta_data?.encodings.at(-1))).toEqual(
        allColumns(bars).map(({ type }) => names[encodingOf[type]]),
      )
      expect(chunks.every(({ meta_data }) => meta_data?.codec === 'SNAPPY')).toBe(true)
    }
  })

  test('cuts row groups at 100,000 rows, the first one as well', () => {
    const { row_groups } = metadataOf(encode(generateRows(bars, 100_001)))
    expect(row_groups.map(({ num_rows }) => num_rows)).toEqual([100_000n, 1n])
  })

  test('writes one NaN and one zero', () => {
    const payload = new Float64Array(new BigUint64Array([0xfff8_dead_beef_0001n]).buffer)[0] ?? 0
    const odd = encodeRows({ open: payload, high: -0, volume: payload, vwap: -0 })
    expect(odd).toEqual(encodeRows({ open: Number.NaN, high: 0, volume: Number.NaN, vwap: 0 }))
    const { rows } = decodePartition({ dataset: bars, bytes: odd })
    expect(Object.is(columnOf(rows, 'high')[0], 0)).toBe(true)
  })

  test('writes no rows as a file that can be read', () => {
    const { rows } = decodePartition({ dataset: bars, bytes: encodeRows() })
    expect(rows.rowCount).toBe(0)
  })

  test.each([
    [[{ ts: 2n }, { ts: 1n }], /got \(AAPL, 1m, alpaca, 2\) before \(AAPL, 1m, alpaca, 1\)$/],
    [[{ ts: 1n }, { ts: 1n }], /got \(AAPL, 1m, alpaca, 1\) before \(AAPL, 1m, alpaca, 1\)$/],
    [[{ symbol: 'B' }, { symbol: 'A' }], /got \(B, 1m, alpaca, 0\) before \(A, 1m, alpaca, 0\)$/],
  ])('refuses rows that are not in key order', (rows, message) => {
    expect(() => encodeRows(...rows)).toThrow(message)
  })
})
