import { describe, expect, test } from 'vitest'
import { mergeAll, mergeRows } from '../../shared/curated/merge.ts'
import { compareText } from '../../shared/curated/row-order.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { allColumns } from '../../shared/datasets/contract.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import { everyType } from './every-type.ts'
import { barBatch, generateRows, type Row, toBatch, toRows } from './rows.ts'

const ZEROS = { instant: 0n, int64: 0n, date: 0, int32: 0, double: 0, string: 'a' }
const NONE = { inserted: 0, updated: 0, unchanged: 0, superseded: 0 }

function merge(file: readonly Row[] | null, incoming: readonly Row[]) {
  const merged = mergeRows({ dataset: bars, file: file && barBatch(...file), incoming: barBatch(...incoming) })
  return { ...merged, rows: toRows(bars, merged.rows) }
}

describe('mergeRows', () => {
  test('inserts a row whose key is not there', () => {
    const { rows, outcomes } = merge([{ ts: 1n }], [{ ts: 2n }])
    expect(rows.map(({ ts }) => ts)).toEqual([1n, 2n])
    expect(outcomes).toEqual({ ...NONE, inserted: 1 })
  })

  test('inserts into no file as into an empty one', () => {
    expect(merge(null, [{ ts: 1n }])).toEqual(merge([], [{ ts: 1n }]))
  })

  test('updates where the incoming row was observed later and differs', () => {
    const { rows, outcomes } = merge([{ close: 1, _observed_at: 1n }], [{ close: 2, _observed_at: 2n }])
    expect(rows[0]).toMatchObject({ close: 2, _observed_at: 2n })
    expect(outcomes).toEqual({ ...NONE, updated: 1 })
  })

  test('counts unchanged where only the observation is newer, and moves the observation', () => {
    const { rows, outcomes } = merge([{ _observed_at: 1n }], [{ _observed_at: 2n }])
    expect(rows[0]).toMatchObject({ _observed_at: 2n })
    expect(outcomes).toEqual({ ...NONE, unchanged: 1 })
  })

  test('keeps the row of the file where that was observed later', () => {
    const { rows, outcomes } = merge([{ close: 1, _observed_at: 2n }], [{ close: 2, _observed_at: 1n }])
    expect(rows[0]).toMatchObject({ close: 1 })
    expect(outcomes).toEqual({ ...NONE, superseded: 1 })
  })

  test('decides equal observations by the page, and equal pages by the ordinal', () => {
    const pages = [
      { _raw_sha256: 'b', close: 2 },
      { _raw_sha256: 'a', close: 1 },
    ]
    expect(merge(null, pages).rows[0]).toMatchObject({ close: 2 })
    const ordinals = [
      { _raw_row: 10, close: 2 },
      { _raw_row: 9, close: 1 },
    ]
    expect(merge(null, ordinals).rows[0]).toMatchObject({ close: 2 })
  })

  test('counts an incoming row that another incoming row beats as superseded', () => {
    const { outcomes } = merge(
      [{ _observed_at: 1n }],
      [
        { _observed_at: 2n, close: 7 },
        { _observed_at: 3n, close: 8 },
      ],
    )
    expect(outcomes).toEqual({ ...NONE, updated: 1, superseded: 1 })
    expect(merge(null, [{ _observed_at: 2n }, { _observed_at: 3n }]).outcomes).toEqual({
      ...NONE,
      inserted: 1,
      superseded: 1,
    })
  })

  test('counts a row that is already in the file as unchanged, and says that it found its own', () => {
    const { outcomes, ownRowsInFile } = merge([{ ts: 1n }, { ts: 2n }], [{ ts: 2n }])
    expect(outcomes).toEqual({ ...NONE, unchanged: 1 })
    expect(ownRowsInFile).toBe(true)
  })

  test('finds its own row also where a later incoming row beats it', () => {
    expect(merge([{ _observed_at: 1n }], [{ _observed_at: 1n }, { _observed_at: 2n }]).ownRowsInFile).toBe(true)
  })

  test.each([{ _observed_at: 1n }, { _raw_sha256: 'f' }, { _raw_row: 1 }])(
    'takes a row with another %o for another row',
    (other) => {
      expect(merge([{}], [other]).ownRowsInFile).toBe(false)
    },
  )

  test('takes NaN for NaN and −0 for 0', () => {
    const file = [{ open: Number.NaN, volume: Number.NaN, low: 0, vwap: 0 }]
    const incoming = [{ open: Number.NaN, volume: Number.NaN, low: -0, vwap: -0, _observed_at: 1n }]
    expect(merge(file, incoming).outcomes).toEqual({ ...NONE, unchanged: 1 })
  })

  test.each<Row>([
    { session_date: 1 },
    { close: 2 },
    { volume: null },
    { volume: 11 },
    { trade_count: null },
    { trade_count: 2n ** 40n + 3n },
    { adjustment: 'split' },
  ])('sees a difference in %o', (difference) => {
    expect(merge([{}], [{ ...difference, _observed_at: 1n }]).outcomes).toEqual({ ...NONE, updated: 1 })
  })

  test('sorts instants beyond 2^53 by value', () => {
    const instants = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 2n ** 53n, -1n, 0n, -(2n ** 53n) - 1n]
    const { rows } = merge(
      null,
      instants.map((ts) => ({ ts })),
    )
    expect(rows.map(({ ts }) => ts)).toEqual([...instants].sort((a, b) => (a < b ? -1 : 1)))
  })

  test('sorts instants far before 1970 by value', () => {
    const instants = [-(2n ** 53n) - 1n, -(2n ** 53n), -(2n ** 53n) - 2n]
    const { rows } = merge(
      null,
      instants.map((ts) => ({ ts })),
    )
    expect(rows.map(({ ts }) => ts)).toEqual([-(2n ** 53n) - 2n, -(2n ** 53n) - 1n, -(2n ** 53n)])
  })

  test.each<[string, Row]>([
    ['the low half of a required int64', { required_int64: 1n }],
    ['the high half of a required int64', { required_int64: 2n ** 32n }],
    ['a required instant', { required_instant: 1n }],
    ['a required date', { required_date: 1 }],
    ['a required int32', { required_int32: 1 }],
    ['a required double', { required_double: 1 }],
    ['a required string', { required_string: 'b' }],
    ['a nullable instant', { nullable_instant: 0n }],
    ['a nullable date', { nullable_date: 0 }],
    ['a nullable string', { nullable_string: 'a' }],
  ])('sees a difference in %s', (_name, difference) => {
    const zero = Object.fromEntries(
      allColumns(everyType).map(({ name, type, nullable }) => [name, nullable ? null : ZEROS[type]]),
    )
    const file = toBatch(everyType, [zero])
    const incoming = toBatch(everyType, [{ ...zero, ...difference, _observed_at: 1n }])
    expect(mergeRows({ dataset: everyType, file, incoming }).outcomes).toEqual({ ...NONE, updated: 1 })
  })

  test('sorts by keys of every type, the first before the others', () => {
    const rows = toRows(everyType, mergeAll(everyType, [generateRows(everyType, 500)]))
    const shuffled = rows.map((row, index) => ({
      ...row,
      key_string: ['b', 'a'][index % 2] ?? '',
      key_int32: [5, -5, 0][index % 3] ?? 0,
      key_date: 0 - (index % 5),
      key_int64: [2n ** 62n, -(2n ** 62n)][index % 2] ?? 0n,
    }))
    const merged = toRows(everyType, mergeAll(everyType, [toBatch(everyType, shuffled)]))
    const byKey = [...shuffled].sort((a, b) => compareByKey(everyType.key, a, b))
    expect(merged).toEqual(byKey)
  })

  test('sorts text by the bytes of its utf-8 form', () => {
    const symbols = ['😀', '\uffee', 'Z', 'a', 'é', 'AB', 'A', '\u{1f600}x', '\ud7ff', '\ue000']
    const { rows } = merge(
      null,
      symbols.map((symbol) => ({ symbol })),
    )
    const bytewise = [...symbols].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(rows.map(({ symbol }) => symbol)).toEqual(bytewise)
  })

  test('sorts by the first key column before the others', () => {
    const { rows } = merge(null, [
      { symbol: 'B', ts: 1n },
      { symbol: 'A', ts: 2n },
      { symbol: 'A', ts: 1n },
    ])
    expect(rows.map(({ symbol, ts }) => `${symbol}${ts}`)).toEqual(['A1', 'A2', 'B1'])
  })

  test('names the columns that are missing', () => {
    const { _raw_row, vwap, ...columns } = barBatch({}).columns
    expect(() => mergeRows({ dataset: bars, file: null, incoming: { rowCount: 1, columns } })).toThrow(
      /^rows: expected the columns vwap, _raw_row too, got ts, session_date, /,
    )
  })

  test('names a column that is in the wrong kind of array', () => {
    const { columns } = barBatch({})
    const incoming = { rowCount: 1, columns: { ...columns, open: [1] } }
    expect(() => mergeRows({ dataset: bars, file: null, incoming })).toThrow(
      'column open: expected a Float64Array, got a Array',
    )
  })

  test('refuses a file that has a key twice', () => {
    expect(() => merge([{ ts: 1n }, { ts: 1n }], [])).toThrow(
      /^file of bars: expected one row per key, got rows 0 and 1$/,
    )
  })
})

describe('mergeAll', () => {
  test('takes the winners of all batches, whatever their order', () => {
    const batches = [
      barBatch({ ts: 3n, _observed_at: 1n }, { ts: 1n, _observed_at: 1n }),
      barBatch({ ts: 1n, close: 9, _observed_at: 2n }),
      barBatch({ ts: 2n }),
    ]
    const rows = toRows(bars, mergeAll(bars, batches))
    expect(rows.map(({ ts, close }) => [ts, close])).toEqual([
      [1n, 9],
      [2n, 1.5],
      [3n, 1.5],
    ])
    expect(toRows(bars, mergeAll(bars, batches.reverse()))).toEqual(rows)
  })

  test('makes an empty batch with every column of nothing', () => {
    const rows = mergeAll(bars, [])
    expect(rows.rowCount).toBe(0)
    expect(columnOf(rows, '_raw_row')).toEqual(new Int32Array(0))
  })
})

test('compareText is the order of utf-8 bytes', () => {
  const texts = ['', 'a', 'b', 'ab', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}', 'a\u{10000}', 'a\uffff']
  for (const a of texts) {
    for (const b of texts) {
      expect(Math.sign(compareText(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
    }
  }
})

/** For ASCII text, where JavaScript's own order is that of the bytes. */
function compareByKey(key: readonly string[], a: Row, b: Row): number {
  for (const name of key) {
    const left = a[name] ?? 0
    const right = b[name] ?? 0
    if (left !== right) return left < right ? -1 : 1
  }
  return 0
}
