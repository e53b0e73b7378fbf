import fc from 'fast-check'
import { expect, test } from 'vitest'
import { observations } from '../../shared/datasets/observations.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { fred } from '../../shared/sources/fred/fred.ts'

const bound = fred.bind({ series_id: 'DGS10' })
const OBSERVATION = { realtime_start: '2026-03-02', realtime_end: '2026-03-02', date: '2020-01-02', value: '1.88' }
const PAGE = { units: 'lin', count: 5, offset: 0, limit: 2 }

/** Judges and parses; gives what the verdict was and how many records came out. */
function digest(body: Uint8Array) {
  const verdict = bound.page({ status: 200, headers: {}, body })
  const sink = createRecordSink(observations)
  try {
    bound.records(body, sink)
  } catch (error) {
    expect(error).toBeInstanceOf(ContractError)
    expect(verdict.kind).not.toBe('page')
    return { verdict, counted: 0 }
  }
  const page = sink.finish()
  expect(page.rows.rowCount + page.rejects.length).toBe(page.records)
  expect(() => JSON.stringify(page.rejects)).not.toThrow()
  return { verdict, counted: page.records }
}

test('any JSON in the place of any part of a page gives as many records as were counted, or no page', () => {
  const replaced = fc.record({
    field: fc.constantFrom(...Object.keys(OBSERVATION), ...Object.keys(PAGE), 'observation', 'observations', 'page'),
    value: fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>('.', '1e999', '9999-12-31', '2020-01-03', 2, 3, 9_007_199_254_740_991),
    ),
    last: fc.boolean(),
  })
  let pages = 0
  fc.assert(
    fc.property(replaced, ({ field, value, last }) => {
      const at = (name: string, good: unknown) => (field === name ? value : good)
      const second: Record<string, unknown> = { ...OBSERVATION, date: '2020-01-03' }
      if (field in second) second[field] = value
      const list = at('observations', [OBSERVATION, at('observation', second)])
      const envelope: Record<string, unknown> = { ...PAGE, count: last ? 2 : 5, observations: list }
      if (field in PAGE) envelope[field] = value
      const { verdict, counted } = digest(new TextEncoder().encode(JSON.stringify(at('page', envelope))))
      if (verdict.kind !== 'page') return
      pages++
      expect(verdict.records).toBe(counted)
      // Whatever the next page begins with lies behind the first date: a chain moves on.
      if (verdict.next !== null) expect(verdict.next > OBSERVATION.date).toBe(true)
    }),
    { numRuns: 5_000 },
  )
  expect(pages).toBeGreaterThan(500)
})

test('random bytes are no page', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
      expect(digest(body).verdict.kind).not.toBe('page')
    }),
    { numRuns: 1_000 },
  )
})
