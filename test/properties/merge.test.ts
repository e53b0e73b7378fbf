import fc from 'fast-check'
import { expect, test } from 'vitest'
import { contentSha256 } from '../../shared/curated/content-hash.ts'
import { mergeAll, mergeRows } from '../../shared/curated/merge.ts'
import { bars } from '../../shared/datasets/bars.ts'
import type { RowBatch } from '../../shared/datasets/row-batch.ts'
import { barBatch, type Row, toRows } from '../curated/rows.ts'

/**
 * Few keys, observations and pages, so that rows meet in every way. An identity names one record of one page, so what
 * the row says is a function of it and of its key.
 */
const row: fc.Arbitrary<Row> = fc
  .record({
    ts: fc.oneof(fc.bigInt({ min: 0n, max: 6n }), fc.constant(2n ** 62n), fc.constant(-(2n ** 62n))),
    symbol: fc.constantFrom('A', '\uffee', '😀'),
    _observed_at: fc.bigInt({ min: 0n, max: 2n }),
    _raw_sha256: fc.constantFrom('a', 'b'),
    _raw_row: fc.integer({ min: 0, max: 2 }),
  })
  .map((place) => ({
    ...place,
    close: [1, -0, Number.NaN][place._raw_row] ?? 0,
    volume: place._raw_sha256 === 'a' ? null : 5,
    trade_count: place._observed_at === 0n ? null : 2n ** 60n,
  }))

const batch = fc.array(row, { maxLength: 12 }).map((rows) => barBatch(...rows))

const merged = (...batches: readonly RowBatch[]) => mergeAll(bars, batches)
const same = (a: RowBatch, b: RowBatch): void => {
  expect(toRows(bars, a)).toEqual(toRows(bars, b))
}
const RUNS = { numRuns: 1_000 }

test('the merge is commutative', () => {
  fc.assert(
    fc.property(batch, batch, (a, b) => same(merged(a, b), merged(b, a))),
    RUNS,
  )
})

test('the merge is associative', () => {
  fc.assert(
    fc.property(batch, batch, batch, (a, b, c) => same(merged(merged(a, b), c), merged(a, merged(b, c)))),
    RUNS,
  )
})

test('the merge is idempotent', () => {
  fc.assert(
    fc.property(batch, (a) => {
      same(merged(merged(a), a), merged(a))
      same(merged(a, a), merged(a))
    }),
    RUNS,
  )
})

test('any split of the rows into merges, in any order, gives the same rows and the same content hash', () => {
  const pieces = fc.array(batch, { minLength: 1, maxLength: 6 })
  const withOrder = pieces.chain((batches) =>
    fc.tuple(fc.constant(batches), fc.shuffledSubarray(batches, { minLength: batches.length })),
  )
  fc.assert(
    fc.property(withOrder, ([batches, shuffled]) => {
      const whole = merged(...batches)
      let file: RowBatch | null = null
      for (const incoming of shuffled) file = mergeRows({ dataset: bars, file, incoming }).rows
      same(file ?? merged(), whole)
      expect(contentSha256(bars, file ?? merged())).toBe(contentSha256(bars, whole))
    }),
    RUNS,
  )
})

test('outcomes sum to the incoming rows, and the rows grow by what was inserted', () => {
  fc.assert(
    fc.property(batch, batch, (old, incoming) => {
      const file = merged(old)
      const { rows, outcomes } = mergeRows({ dataset: bars, file, incoming })
      const { inserted, updated, unchanged, superseded } = outcomes
      expect(inserted + updated + unchanged + superseded).toBe(incoming.rowCount)
      expect(rows.rowCount).toBe(file.rowCount + inserted)
    }),
    RUNS,
  )
})

test('each row and each outcome is what the definition says', () => {
  fc.assert(
    fc.property(batch, batch, (old, incoming) => {
      const file = merged(old)
      const result = mergeRows({ dataset: bars, file, incoming })
      const expected = mergeByDefinition(toRows(bars, file), toRows(bars, incoming))
      expect(toRows(bars, result.rows)).toEqual(expected.rows)
      expect(result.outcomes).toEqual(expected.outcomes)
      expect(result.ownRowsInFile).toBe(expected.ownRowsInFile)
    }),
    RUNS,
  )
})

test('a merge of what the file holds already changes nothing and finds its own rows', () => {
  fc.assert(
    fc.property(batch, (a) => {
      const file = merged(a)
      const { rows, outcomes, ownRowsInFile } = mergeRows({ dataset: bars, file, incoming: file })
      same(rows, file)
      expect(outcomes).toEqual({ inserted: 0, updated: 0, unchanged: file.rowCount, superseded: 0 })
      expect(ownRowsInFile).toBe(file.rowCount > 0)
    }),
    RUNS,
  )
})

/** The merge as lake.md tells it, row by row and slowly. */
function mergeByDefinition(file: readonly Row[], incoming: readonly Row[]) {
  const utf8 = (text: unknown) => Buffer.from(String(text), 'utf8')
  const keyOf = ({ symbol, ts }: Row) => JSON.stringify([symbol, String(ts)])
  const identity = (a: Row, b: Row) =>
    Number(BigInt(a._observed_at ?? 0) - BigInt(b._observed_at ?? 0)) ||
    Buffer.compare(utf8(a._raw_sha256), utf8(b._raw_sha256)) ||
    Number(a._raw_row) - Number(b._raw_row)
  const business = (row: Row) => bars.columns.map(({ name }) => (row[name] === 0 ? '0' : String(row[name]))).join('|')

  const outcomes = { inserted: 0, updated: 0, unchanged: 0, superseded: 0 }
  const byKey = groupByKey(incoming, keyOf)
  const winners = new Map(file.map((row) => [keyOf(row), row]))
  for (const [key, rows] of byKey) {
    const old = winners.get(key)
    const best = rows.reduce((a, b) => (identity(b, a) >= 0 ? b : a))
    outcomes.superseded += rows.length - 1
    if (!old) outcomes.inserted++
    else if (identity(best, old) < 0) outcomes.superseded++
    else if (business(best) === business(old)) outcomes.unchanged++
    else outcomes.updated++
    if (!old || identity(best, old) >= 0) winners.set(key, best)
  }
  const rows = [...winners.values()].sort(
    (a, b) => Buffer.compare(utf8(a.symbol), utf8(b.symbol)) || (BigInt(a.ts ?? 0) < BigInt(b.ts ?? 0) ? -1 : 1),
  )
  const ownRowsInFile = file.some((old) =>
    incoming.some((row) => keyOf(row) === keyOf(old) && identity(row, old) === 0),
  )
  return { rows, outcomes, ownRowsInFile }
}

function groupByKey(rows: readonly Row[], keyOf: (row: Row) => string): Map<string, Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row])
  return groups
}
