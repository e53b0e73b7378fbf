import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Column, Dataset } from '../../shared/datasets/contract.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { DATASETS } from '../../shared/datasets/registry.ts'

/** What a provider may hand us for a column: mostly right, and wrong in every way that has a name. */
function valueFor(column: Column): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 20, arbitrary: rightValue(column) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(null, '', 'text', '1m', '\ud800', 'a\udc00b', true, {}, [], Symbol.iterator),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 31) - 1),
    },
    { weight: 1, arbitrary: fc.constantFrom(0n, 2n ** 63n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 63n) - 1n) },
  )
}

function rightValue({ name, type }: Column): fc.Arbitrary<unknown> {
  switch (type) {
    case 'instant':
    case 'int64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    case 'date':
    case 'int32':
      return fc.integer()
    case 'double':
      return fc.double({ noNaN: true, noDefaultInfinity: true })
    case 'string':
      return name === 'timeframe' ? fc.constantFrom('1m', '1d') : fc.string({ minLength: 1 })
  }
}

function sinkAccepts(dataset: Dataset, record: Readonly<Record<string, unknown>>): boolean {
  const sink = createRecordSink(dataset)
  for (const [name, value] of Object.entries(record)) sink.column(name).put(value)
  sink.end(null)
  return sink.finish().rejects.length === 0
}

describe.each([...DATASETS.values()])('the contract of $name', (dataset) => {
  const record = fc.record(Object.fromEntries(dataset.columns.map((column) => [column.name, valueFor(column)])))

  test('accepts the same records by its zod row and by its column checks', () => {
    let accepted = 0
    fc.assert(
      fc.property(record, (values) => {
        const bySink = sinkAccepts(dataset, values)
        expect(dataset.row.safeParse(values).success).toBe(bySink)
        if (bySink) accepted++
      }),
      { numRuns: 5_000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })

  test.each(dataset.columns.map(({ name, nullable }) => ({ name, nullable })))(
    'decides on $name alone as it does on the whole row',
    ({ name }) => {
      const column = dataset.columns.find((candidate) => candidate.name === name)
      if (!column) throw new Error(`expected column ${name}`)
      const [good] = fc.sample(
        fc.record(Object.fromEntries(dataset.columns.map((other) => [other.name, rightValue(other)]))),
        { numRuns: 1, seed: 1 },
      )
      fc.assert(
        fc.property(valueFor(column), (value) => {
          const values = { ...good, [name]: value }
          expect(dataset.row.safeParse(values).success).toBe(sinkAccepts(dataset, values))
        }),
        { numRuns: 500 },
      )
    },
  )

  test('takes a value that was not put for null', () => {
    const nothing = Object.fromEntries(dataset.columns.map(({ name }) => [name, null]))
    expect(sinkAccepts(dataset, {})).toBe(dataset.row.safeParse(nothing).success)
  })
})
