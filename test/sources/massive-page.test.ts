import { expect, test } from 'vitest'
import type { PageVerdict } from '../../shared/sources/contract.ts'
import { massive } from '../../shared/sources/massive/massive.ts'

const stock = massive.bind({ symbol: 'TSLA', timeframe: '1m' })
const index = massive.bind({ symbol: 'I:NDX', timeframe: '1d' })
const gold = massive.bind({ symbol: 'C:XAUUSD', timeframe: '1h' })
const JSON_TYPE = { 'content-type': 'application/json' }

function judge(body: string, bound = stock, status = 200, headers: Record<string, string> = JSON_TYPE): PageVerdict {
  return bound.page({ status, headers, body: new TextEncoder().encode(body) })
}

const MINUTE_MS = 60_000
const FIRST_MS = 1_690_790_400_000
const bars = (count: number) => Array.from({ length: count }, (_, at) => ({ t: FIRST_MS + at * MINUTE_MS, o: 1 }))
const AGGS = '/v2/aggs/ticker/TSLA/range/1/minute'
const next = (fromMs: number | string) =>
  `https://api.massive.com${AGGS}/${fromMs}/1690847999999?cursor=bGltaXQ9MTAmc29ydD1hc2M`

/** A page as Massive sends it of a stock, but for the fields that are given; undefined leaves one out. */
function pageOf(count: number, changes: Readonly<Record<string, unknown>> = {}): string {
  const good = { ticker: 'TSLA', queryCount: count, resultsCount: count, adjusted: false, results: bars(count) }
  return JSON.stringify({ ...good, status: 'OK', request_id: '1', count, ...changes })
}

test.each(['OK', 'DELAYED'])('a page with status %s and no next_url is the last', (status) => {
  expect(judge(pageOf(3, { status }))).toEqual({ kind: 'page', records: 3, next: null })
})

// As a free key got it: neither results nor next_url.
test.each([
  ['absent', undefined],
  ['null', null],
  ['empty', []],
])('results that are %s are a complete answer where the count says 0', (_what, results) => {
  expect(judge(pageOf(0, { results }))).toEqual({ kind: 'page', records: 0, next: null })
})

test('an index has neither resultsCount nor adjusted: its count is enough', () => {
  const body = '{"count":2,"queryCount":2,"results":[{},{}],"status":"OK","ticker":"I:NDX"}'
  expect(judge(body, index)).toEqual({ kind: 'page', records: 2, next: null })
})

test('of a metal it does not matter whether it is called adjusted', () => {
  const verdict = judge(pageOf(1, { ticker: 'C:XAUUSD', adjusted: true }), gold)
  expect(verdict).toEqual({ kind: 'page', records: 1, next: null })
})

test('the next page begins where next_url does, and nothing else of it is kept', () => {
  const from = FIRST_MS + 3 * MINUTE_MS
  expect(judge(pageOf(3, { next_url: next(from) }))).toEqual({ kind: 'page', records: 3, next: String(from) })
  const withKey = `${next(from)}&apiKey=s3cret`.replace('massive.com', 'polygon.io')
  expect(judge(pageOf(3, { next_url: withKey }))).toEqual({ kind: 'page', records: 3, next: String(from) })
})

test.each([
  ['I:NDX', index, 'I:NDX/range/1/day'],
  ['I:NDX', index, 'I%3ANDX/range/1/day'],
  ['C:XAUUSD', gold, 'C%3aXAUUSD/range/1/hour'],
])('the colon of %s may be encoded in next_url', (ticker, bound, path) => {
  const nextUrl = `https://api.massive.com/v2/aggs/ticker/${path}/1678514400000/2023-04-01?cursor=x`
  const verdict = judge(pageOf(0, { ticker, next_url: nextUrl }), bound)
  expect(verdict).toEqual({ kind: 'page', records: 0, next: '1678514400000' })
})

const later = FIRST_MS + 3 * MINUTE_MS
const HOSTS = 'expected https://api.massive.com or https://api.polygon.io'
const PLACE = `expected ${AGGS}/…`
test.each<[unknown, string]>([
  [
    next(later).replace('api.massive.com', 'api.massive.com.evil.test'),
    `${HOSTS}, got https://api.massive.com.evil.test`,
  ],
  [next(later).replace('https://', 'https://api.massive.com@evil.test/'), `${HOSTS}, got https://evil.test`],
  [next(later).replace('https://', 'https://user:pass@'), `${HOSTS}, got https://api.massive.com`],
  [next(later).replace('https:', 'http:'), `${HOSTS}, got http://api.massive.com`],
  [next(later).replace('massive.com', 'massive.com:8443'), `${HOSTS}, got https://api.massive.com:8443`],
  ['http://169.254.169.254/metadata', `${HOSTS}, got http://169.254.169.254`],
  ['file:///etc/passwd', `${HOSTS}, got null`],
  [`${AGGS}/${later}/2023-07-31`, `expected an address, got "${AGGS}/${later}/2023-07-31"`],
  ['', 'expected an address, got ""'],
  [7, 'expected an address, got a number'],
  [next(later).replace('TSLA', 'AAPL'), `${PLACE}, got /v2/aggs/ticker/AAPL/range/1/minute/${later}/1690847999999`],
  [next(later).replace('1/minute', '1/day'), `${PLACE}, got /v2/aggs/ticker/TSLA/range/1/day/${later}/1690847999999`],
  [next(later).replace('/v2/', '/v3/'), `${PLACE}, got /v3/aggs/ticker/TSLA/range/1/minute/${later}/1690847999999`],
  [next(`../../../../../../v1/${later}`), `${PLACE}, got /v2/v1/${later}/1690847999999`],
  [
    next('2023-07-31'),
    `expected ${AGGS}/ and two ends, the first in milliseconds, got ${AGGS}/2023-07-31/1690847999999`,
  ],
])('next_url %j is broken: nobody is asked there', (nextUrl, detail) => {
  expect(judge(pageOf(3, { next_url: nextUrl }))).toEqual({ kind: 'broken', detail: `next_url: ${detail}` })
})

test.each([
  ['the first bar', FIRST_MS],
  ['the last bar', FIRST_MS + 2 * MINUTE_MS],
])('a next page that begins with %s would not go on', (_what, fromMs) => {
  const detail = `next_url: expected a beginning after the last bar, ${FIRST_MS + 2 * MINUTE_MS}, got ${fromMs}`
  expect(judge(pageOf(3, { next_url: next(fromMs) }))).toEqual({ kind: 'broken', detail })
})

test('a bar without a time does not stop the chain: it is a reject later', () => {
  const results = [...bars(2), { t: 'soon' }, null]
  const verdict = judge(pageOf(4, { results, next_url: next(later) }))
  expect(verdict).toEqual({ kind: 'page', records: 4, next: String(later) })
})

test('where as many minutes were read as may be, the end must be told by a next page', () => {
  expect(judge(pageOf(3, { queryCount: 49_999 })).kind).toBe('page')
  expect(judge(pageOf(3, { queryCount: 50_000, next_url: next(later) })).kind).toBe('page')
  const detail = 'next_url: expected one where 50000 bars were read, got none'
  expect(judge(pageOf(3, { queryCount: 50_000 }))).toEqual({ kind: 'broken', detail })
})

test.each([
  ['none of some', { results: undefined, resultsCount: 3 }, 'results: expected 3, got 0'],
  ['fewer than the count', { resultsCount: 5 }, 'results: expected 5, got 3'],
])('%s is an answer that another time may be whole', (_what, changes, detail) => {
  expect(judge(pageOf(3, changes))).toEqual({ kind: 'unavailable', detail })
})

test.each<[Record<string, unknown>, string]>([
  [{ resultsCount: 2 }, 'results: expected 2, got 3'],
  [{ resultsCount: '3' }, 'resultsCount: expected a whole number, got "3"'],
  [{ resultsCount: -1 }, 'resultsCount: expected a whole number, got -1'],
  [{ resultsCount: undefined, count: undefined }, 'resultsCount: expected a whole number, got none'],
  [
    { results: undefined, resultsCount: undefined, count: undefined },
    'resultsCount: expected a whole number, got none',
  ],
  [{ results: {} }, 'results: expected an array, got an object'],
  [{ ticker: 'AAPL' }, 'ticker: expected TSLA, got "AAPL"'],
  [{ ticker: undefined }, 'ticker: expected TSLA, got none'],
  [{ adjusted: true }, 'adjusted: expected false, got true'],
  [{ adjusted: undefined }, 'adjusted: expected false, got none'],
  [{ status: undefined }, 'status: expected OK or DELAYED, got none'],
  [{ status: 'STALE' }, 'expected bars, got http 200 with STALE'],
])('a page with %j is broken', (changes, detail) => {
  expect(judge(pageOf(3, changes))).toEqual({ kind: 'broken', detail })
})

test('bars that are adjusted for splits are asked for, and then raw ones are broken', () => {
  const split = massive.bind({ symbol: 'TSLA', timeframe: '1m', adjustment: 'split' })
  expect(judge(pageOf(3, { adjusted: true }), split).kind).toBe('page')
  const detail = 'adjusted: expected true, got false'
  expect(judge(pageOf(3), split)).toEqual({ kind: 'broken', detail })
})

test.each([
  ['{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute"}', 'throttled'],
  ['{"status":"ERROR","error":"Unknown API Key"}', 'auth'],
  ['{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}', 'auth'],
  ['{"status":"NOT_FOUND","message":"Data not found."}', 'refused'],
  ['{"status":"ERROR","error":"upstream timeout"}', 'unavailable'],
  ['{"status":"ERROR","error":{"code":1}}', 'unavailable'],
  ['{"status":"ERROR"}', 'unavailable'],
])('%s in an answer with http 200 is %s', (body, kind) => {
  expect(judge(body).kind).toBe(kind)
})

test.each<[number, string, string, string]>([
  [401, '{"status":"ERROR","error":"Unknown API Key"}', 'auth', ': Unknown API Key'],
  [403, '{"status":"NOT_AUTHORIZED","message":"Please upgrade your plan"}', 'auth', ': Please upgrade your plan'],
  [
    400,
    '{"status":"ERROR","error":"Could not parse the time parameter"}',
    'refused',
    ': Could not parse the time parameter',
  ],
  [502, '<html>', 'unavailable', ''],
])('status %i with %s is %s', (status, body, kind, said) => {
  expect(judge(body, stock, status)).toEqual({ kind, detail: `expected http 200, got ${status}${said}` })
})

test('a 429 says nothing of how long to wait', () => {
  const verdict = judge('{"status":"ERROR","error":"too many"}', stock, 429)
  expect(verdict).toEqual({ kind: 'throttled', retryAfterMs: null, detail: 'expected http 200, got 429: too many' })
})

test('every true beginning of a page is a body that was cut', () => {
  const whole = pageOf(2)
  for (let length = 1; length < whole.length; length++) {
    expect([length, judge(whole.slice(0, length)).kind]).toEqual([length, 'unavailable'])
  }
})
