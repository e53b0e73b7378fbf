import { describe, expect, test } from 'vitest'
import { curatedRoot, partitionOf, splitByPartition } from '../../shared/curated/partition-path.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import { type Instant, parseInstant } from '../../shared/instant.ts'
import { barBatch } from './rows.ts'

const minutes = { dataset: 'bars', source: 'alpaca', subject: 'BTC/USD', timeframe: '1m' }
const days = { ...minutes, timeframe: '1d' }

function instant(text: string): Instant {
  const parsed = parseInstant(text)
  if (parsed === undefined) throw new Error(`expected an instant, got ${text}`)
  return parsed
}

describe('partitionOf', () => {
  test('names a month of intraday bars', () => {
    expect(partitionOf(bars, minutes, instant('2026-03-31T23:59:59.999999Z'))).toEqual({
      partitionKey: 'timeframe=1m/symbol=BTC%2FUSD/year=2026/month=03/part-alpaca',
      path: 'dataset=bars/timeframe=1m/symbol=BTC%2FUSD/year=2026/month=03/part-alpaca.parquet',
      lo: instant('2026-03-01T00:00:00Z'),
      hi: instant('2026-04-01T00:00:00Z'),
    })
  })

  test('names a year of daily bars', () => {
    expect(partitionOf(bars, days, instant('2026-12-31T00:00:00Z'))).toEqual({
      partitionKey: 'timeframe=1d/symbol=BTC%2FUSD/year=2026/part-alpaca',
      path: 'dataset=bars/timeframe=1d/symbol=BTC%2FUSD/year=2026/part-alpaca.parquet',
      lo: instant('2026-01-01T00:00:00Z'),
      hi: instant('2027-01-01T00:00:00Z'),
    })
  })

  test('leaves the timeframe out where the stream has none', () => {
    const { path } = partitionOf(bars, { dataset: 'bars', source: 's', subject: 'X' }, 0n)
    expect(path).toBe('dataset=bars/symbol=X/year=1970/month=01/part-s.parquet')
  })

  test.each([
    ['0000-01-01T00:00:00Z', 'year=0000/month=01'],
    ['0099-12-31T23:59:59.999999Z', 'year=0099/month=12'],
    ['1969-12-31T23:59:59.999999Z', 'year=1969/month=12'],
    ['2024-02-29T12:00:00Z', 'year=2024/month=02'],
    ['9999-12-31T23:59:59.999999Z', 'year=9999/month=12'],
  ])('puts %s into %s, and into its range', (text, folder) => {
    const { path, lo, hi } = partitionOf(bars, minutes, instant(text))
    expect(path).toContain(`/${folder}/`)
    expect(lo <= instant(text) && instant(text) < hi).toBe(true)
  })

  test.each([
    [instant('0000-01-01T00:00:00Z') - 1n, '-62167219200000001 µs since 1970'],
    [instant('9999-12-31T23:59:59.999999Z') + 1n, '253402300800000000 µs since 1970'],
    [2n ** 63n - 1n, '9223372036854775807 µs since 1970'],
  ])('refuses the instant %s, whose year no path can name', (outside, text) => {
    expect(() => partitionOf(bars, minutes, outside)).toThrow(
      `partition: expected an instant in the years 0000 to 9999, got ${text}`,
    )
  })
})

test('curatedRoot differs between any two streams', () => {
  const places = [
    minutes,
    days,
    { ...minutes, source: 'massive' },
    { ...minutes, subject: 'BTC' },
    { ...minutes, subject: 'BTC%2FUSD' },
    { dataset: 'bars', source: 'alpaca', subject: 'BTC/USD' },
    { ...minutes, dataset: 'plays' },
    { ...minutes, subject: 'X/part-massive', source: 'alpaca' },
    { ...minutes, subject: 'X', source: 'massive/part-alpaca' },
  ]
  expect(new Set(places.map(curatedRoot)).size).toBe(places.length)
})

describe('splitByPartition', () => {
  const at = (...texts: string[]) => barBatch(...texts.map((text, row) => ({ ts: instant(text), _raw_row: row })))
  const split = (...texts: string[]) =>
    splitByPartition(bars, minutes, at(...texts)).map(({ path, rows }) => ({
      month: path.split('/').at(-2),
      rows: [...(columnOf(rows, '_raw_row') as Int32Array)],
    }))

  test('gives partitions in key order, and the rows of each as they came', () => {
    expect(
      split('2026-02-01T00:00:00Z', '2026-01-31T23:59:00Z', '2026-02-03T00:00:00Z', '2025-12-01T00:00:00Z'),
    ).toEqual([
      { month: 'month=12', rows: [3] },
      { month: 'month=01', rows: [1] },
      { month: 'month=02', rows: [0, 2] },
    ])
  })

  test('hands the batch on as it is where all rows are of one partition', () => {
    const batch = at('2026-01-01T00:00:00Z', '2026-01-31T23:59:59.999999Z')
    expect(splitByPartition(bars, minutes, batch)[0]?.rows).toBe(batch)
  })

  test('splits business columns alone as well', () => {
    const { _observed_at, _raw_sha256, _raw_row, ...columns } = at(
      '2026-01-01T00:00:00Z',
      '2026-02-01T00:00:00Z',
    ).columns
    const [first] = splitByPartition(bars, minutes, { rowCount: 2, columns })
    expect(Object.keys(first?.rows.columns ?? {})).toEqual(bars.columns.map(({ name }) => name))
  })

  test('gives no partition for no rows', () => {
    expect(split()).toEqual([])
  })
})
