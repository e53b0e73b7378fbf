import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { contentSha256 } from '../../shared/curated/content-hash.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { type Dataset, defineDataset } from '../../shared/datasets/contract.ts'
import type { RowBatch } from '../../shared/datasets/row-batch.ts'
import { barBatch, type Row, toBatch } from './rows.ts'

const hashOf = (...rows: readonly Row[]) => contentSha256(bars, barBatch(...rows))

/** Two text columns and nothing else that varies: where a careless encoding lets one run into the next. */
const texts: Dataset = defineDataset({
  name: 'texts',
  contractVersion: 1,
  description: 'for tests',
  columns: [
    { name: 'ts', type: 'instant', nullable: false, description: 'key' },
    { name: 'a', type: 'string', nullable: true, description: 'text' },
    { name: 'b', type: 'string', nullable: true, description: 'text' },
    { name: 'n', type: 'int32', nullable: true, description: 'number' },
  ],
  key: ['ts'],
  eventTime: 'ts',
  partitionBy: () => 'year',
  row: z.unknown(),
})

const textHash = (...rows: readonly Row[]) =>
  contentSha256(
    texts,
    toBatch(
      texts,
      rows.map((row, index) => ({
        ts: BigInt(index),
        a: null,
        b: null,
        n: null,
        _observed_at: 0n,
        _raw_sha256: '',
        _raw_row: 0,
        ...row,
      })),
    ),
  )

describe('contentSha256', () => {
  test('is the same for the same business columns, whatever page they came from', () => {
    expect(hashOf({ _observed_at: 5n, _raw_sha256: 'ffff', _raw_row: 7 })).toBe(hashOf({}))
  })

  test('does not need the provenance columns', () => {
    const { _observed_at, _raw_sha256, _raw_row, ...columns } = barBatch({}).columns
    const business: RowBatch = { rowCount: 1, columns }
    expect(contentSha256(bars, business)).toBe(hashOf({}))
  })

  test('takes every NaN for one and −0 for 0, in required and in nullable columns', () => {
    const quiet = new Float64Array(new BigUint64Array([0x7ff8_0000_0000_0000n]).buffer)[0] ?? 0
    const payload = new Float64Array(new BigUint64Array([0xfff8_dead_beef_0001n]).buffer)[0] ?? 0
    expect(hashOf({ open: payload, vwap: payload })).toBe(hashOf({ open: quiet, vwap: quiet }))
    expect(hashOf({ open: -0, vwap: -0 })).toBe(hashOf({ open: 0, vwap: 0 }))
  })

  test.each<Row>([
    { ts: 1n },
    { session_date: 1 },
    { open: 1.0000000000000002 },
    { volume: null },
    { volume: 0 },
    { trade_count: null },
    { trade_count: 0n },
    { vwap: Number.NaN },
    { symbol: 'AAPK' },
    { adjustment: 'RAW' },
  ])('changes with %o', (difference) => {
    expect(hashOf(difference)).not.toBe(hashOf({}))
  })

  test('tells apart what careless joins of text would not', () => {
    const hashes = [
      textHash({ a: 'ab', b: 'c' }),
      textHash({ a: 'a', b: 'bc' }),
      textHash({ a: 'abc', b: '' }),
      textHash({ a: '', b: 'abc' }),
      textHash({ a: null, b: 'abc' }),
      textHash({ a: 'null', b: 'abc' }),
      textHash({ a: 'ab' }, { a: 'c' }),
      textHash({ a: 'a' }, { a: 'bc' }),
      textHash({ a: 'a' }, { a: 'a' }),
      textHash({ a: 'a' }, { a: null }),
      textHash({ a: null }, { a: 'a' }),
      textHash({ n: 0 }),
      textHash({ n: null }),
      textHash({ n: 0 }, { n: null }),
      textHash({ n: null }, { n: 0 }),
      textHash(),
    ]
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  test('is the hash it was: another one would make every stored content_sha256 wrong', () => {
    expect(hashOf({ ts: 1n }, { ts: 2n, volume: null, trade_count: null, symbol: 'AAPL' })).toMatchInlineSnapshot(
      `"d63832b1c1604626374045c465c1ad48243226e4e84426ab7cdd73eae6b1f90c"`,
    )
  })

  test('refuses rows out of key order', () => {
    expect(() => hashOf({ ts: 2n }, { ts: 1n })).toThrow(
      'rows of bars: expected ascending keys (symbol, timeframe, source, ts), got (AAPL, 1m, alpaca, 2) before (AAPL, 1m, alpaca, 1)',
    )
  })
})
