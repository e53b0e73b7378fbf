import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { massive } from '../../shared/sources/massive/massive.ts'

const bound = massive.bind({ symbol: 'TSLA', timeframe: '1m' })
const BAR = { v: 1200, vw: 1.875, o: 1.5, c: 2, h: 2.25, l: 1.25, t: 1_577_975_400_000, n: 17 }
const NEXT_URL = 'https://api.massive.com/v2/aggs/ticker/TSLA/range/1/minute/1577975460000/1580515199999?cursor=x'
const PAGE = {
  ticker: 'TSLA',
  queryCount: 3,
  resultsCount: 3,
  adjusted: false,
  status: 'OK',
  count: 3,
  next_url: NEXT_URL,
}
const whole = new TextEncoder().encode(JSON.stringify({ ...PAGE, results: [BAR, BAR, BAR] }))

/** Judges and parses: what is a page has as many records as it says, what can be parsed never throws. */
function digest(body: Uint8Array) {
  const verdict = bound.page({ status: 200, headers: {}, body })
  const sink = createRecordSink(bars)
  try {
    bound.records(body, sink)
  } catch (error) {
    expect(error).toBeInstanceOf(ContractError)
    expect(verdict.kind).not.toBe('page')
    return verdict
  }
  const page = sink.finish()
  expect(page.rows.rowCount + page.rejects.length).toBe(page.records)
  expect(() => JSON.stringify(page.rejects)).not.toThrow()
  if (verdict.kind === 'page') expect(page.records).toBe(verdict.records)
  return verdict
}

test('random bytes are judged, and their records are a contract error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
      expect(digest(body).kind).not.toBe('page')
    }),
    { numRuns: 2_000 },
  )
})

test('a page with some bytes changed, put in or taken out gives as many records as were counted, or no page', () => {
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
  let pages = 0
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      let body = Buffer.from(whole)
      for (const { at, removed, added } of edits) {
        body = Buffer.concat([body.subarray(0, at), added, body.subarray(at + removed)])
      }
      if (digest(body).kind === 'page') pages++
    }),
    { numRuns: 5_000 },
  )
  expect(pages).toBeGreaterThan(100)
})

test('any JSON in the place of any part of a page gives as many records as were counted, or no page', () => {
  const replaced = fc.record({
    field: fc.constantFrom(...Object.keys(BAR), ...Object.keys(PAGE), 'bar', 'results', 'page'),
    value: fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(-0, 2, 3, 50_000, 1e308, Number.MAX_SAFE_INTEGER, 'DELAYED', 1_577_975_460_000),
    ),
  })
  let pages = 0
  fc.assert(
    fc.property(replaced, ({ field, value }) => {
      const at = (name: string, good: unknown) => (field === name ? value : good)
      const spoiled = at('bar', field in BAR ? { ...BAR, [field]: value } : BAR)
      const page = {
        ...PAGE,
        ...(field in PAGE ? { [field]: value } : {}),
        results: at('results', [BAR, spoiled, BAR]),
      }
      if (digest(new TextEncoder().encode(JSON.stringify(at('page', page)))).kind === 'page') pages++
    }),
    { numRuns: 5_000 },
  )
  expect(pages).toBeGreaterThan(1_000)
})

test('of any address at all the token is a number of milliseconds, and then it is an address of Massive', () => {
  const part = fc.constantFrom(
    ...[
      'https://',
      'http://',
      '//',
      'api.massive.com',
      'api.polygon.io',
      'evil.test',
      '@',
      ':443',
      '\\',
      '/..',
      '%2e%2e',
    ],
    ...[
      '/v2/aggs/ticker/TSLA/range/1/minute/',
      '/1577975460000/1580515199999',
      '1577975460000/2020-01-31',
      '?cursor=x',
      '#',
    ],
  )
  const address = fc.oneof(
    fc.webUrl(),
    fc.string(),
    fc.array(part, { maxLength: 6 }).map((parts) => parts.join('')),
  )
  let pages = 0
  fc.assert(
    fc.property(fc.oneof(address, fc.constant(NEXT_URL)), (nextUrl) => {
      const verdict = digest(
        new TextEncoder().encode(JSON.stringify({ ...PAGE, next_url: nextUrl, results: [BAR, BAR, BAR] })),
      )
      if (verdict.kind !== 'page') return
      pages++
      expect(verdict.next).toMatch(/^\d{1,15}$/)
      expect(['api.massive.com', 'api.polygon.io']).toContain(new URL(nextUrl).host)
    }),
    { numRuns: 5_000 },
  )
  expect(pages).toBeGreaterThan(100)
})

test.each([
  ['brackets', '['.repeat(500_000)],
  ['objects', '{"a":'.repeat(200_000)],
  ['digits', `{"results":${'9'.repeat(1_000_000)}}`],
  ['one string', `{"results":"${'x'.repeat(2_000_000)}`],
  ['a long next_url', JSON.stringify({ ...PAGE, resultsCount: 0, next_url: `https://${'x'.repeat(2_000_000)}` })],
])('a body of nothing but %s is judged', (_what, text) => {
  expect(digest(new TextEncoder().encode(text)).kind).toMatch(/^(broken|unavailable)$/)
})
