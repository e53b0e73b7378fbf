import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'

const bound = alpaca.bind({ symbol: 'TSLA', timeframe: '1m' })
const bar = { t: '2020-01-02T14:30:00Z', o: 1.5, h: 2.25, l: 1.25, c: 2, v: 1200, n: 17, vw: 1.875 }
const whole = new TextEncoder().encode(JSON.stringify({ bars: { TSLA: [bar, bar, bar] }, next_page_token: 'more' }))

/** Judges and parses; gives what the verdict was and how many records came out. */
function digest(body: Uint8Array): { kind: string; records: number; counted: number } {
  const verdict = bound.page({ status: 200, headers: {}, body })
  const sink = createRecordSink(bars)
  try {
    bound.records(body, sink)
  } catch (error) {
    expect(error).toBeInstanceOf(ContractError)
    expect(verdict.kind).not.toBe('page')
    return { kind: verdict.kind, records: 0, counted: 0 }
  }
  const page = sink.finish()
  expect(page.rows.rowCount + page.rejects.length).toBe(page.records)
  expect(() => JSON.stringify(page.rejects)).not.toThrow()
  const records = verdict.kind === 'page' ? verdict.records : page.records
  return { kind: verdict.kind, records, counted: page.records }
}

test('random bytes are judged, and their records are a contract error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
      expect(digest(body).kind).not.toBe('page')
    }),
    { numRuns: 2_000 },
  )
})

test('a page with some bytes changed, put in or taken out gives as many records as were counted, or a contract error', () => {
  const edit = fc.record({
    at: fc.nat(whole.length - 1),
    removed: fc.nat(6),
    added: fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc
        .constantFrom('{', '}', '[', ']', '"', '\\', ',', 'null', '-', '1e999', '9007199254740993')
        .map((text) => new TextEncoder().encode(text)),
    ),
  })
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      let body = Buffer.from(whole)
      for (const { at, removed, added } of edits) {
        body = Buffer.concat([body.subarray(0, at), added, body.subarray(at + removed)])
      }
      const { records, counted } = digest(body)
      expect(counted).toBe(records)
    }),
    { numRuns: 5_000 },
  )
})

test('any JSON in the place of any part of a page gives as many records as were counted, or a contract error', () => {
  const replaced = fc.record({
    field: fc.constantFrom('t', 'o', 'h', 'l', 'c', 'v', 'n', 'vw', 'bar', 'list', 'bars', 'token', 'page'),
    value: fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>('2020-01-02T14:31:00Z', -0, 1e308, Number.MAX_SAFE_INTEGER),
    ),
  })
  fc.assert(
    fc.property(replaced, ({ field, value }) => {
      const at = (name: string, good: unknown) => (field === name ? value : good)
      const list = [bar, at('bar', field in bar ? { ...bar, [field]: value } : bar)]
      const page = { bars: at('bars', { TSLA: at('list', list) }), next_page_token: at('token', null) }
      const { records, counted } = digest(new TextEncoder().encode(JSON.stringify(at('page', page))))
      expect(counted).toBe(records)
    }),
    { numRuns: 5_000 },
  )
})

test.each([
  ['brackets', '['.repeat(500_000)],
  ['objects', '{"a":'.repeat(200_000)],
  ['objects that end', `${'{"a":'.repeat(100_000)}9007199254740993${'}'.repeat(100_000)}`],
  ['digits', `{"bars":${'9'.repeat(1_000_000)}}`],
  ['one string', `{"bars":"${'x'.repeat(2_000_000)}`],
  ['backslashes', `{"bars":"${'\\'.repeat(2_000_001)}`],
  ['quotes', '"'.repeat(1_000_000)],
])('a body of nothing but %s is judged', (_what, text) => {
  expect(digest(new TextEncoder().encode(text)).kind).toMatch(/^(broken|unavailable)$/)
})
