import { expect, test } from 'vitest'
import { type Instant, parseInstant } from '../../shared/instant.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import { httpRequestOf, requestFingerprint } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const at = (text: string) => parseInstant(text) as Instant
const window = { lo: at('2020-01-02T00:00:00Z'), hi: at('2020-01-03T00:00:00Z') }
const keys = { ALPACA_KEY_ID: 'key-1', ALPACA_SECRET_KEY: 's3cret' }

test('the registry knows alpaca', () => {
  expect(SOURCES.get('alpaca')).toBe(alpaca)
})

test('a half-open window ends one second early, where both ends are inclusive', () => {
  expect(alpaca.bind({ symbol: 'TSLA', timeframe: '1m' }).request(window, null)).toEqual({
    method: 'GET',
    path: '/v2/stocks/bars',
    query: {
      symbols: 'TSLA',
      timeframe: '1Min',
      start: '2020-01-02T00:00:00Z',
      end: '2020-01-02T23:59:59Z',
      limit: '10000',
      adjustment: 'raw',
      feed: 'iex',
      sort: 'asc',
    },
  })
})

test('the token is all that the request of a later page adds', () => {
  const bound = alpaca.bind({ symbol: 'TSLA', timeframe: '1m' })
  const first = bound.request(window, null)
  expect(bound.request(window, 'abc=')).toEqual({ ...first, query: { ...first.query, page_token: 'abc=' } })
})

test.each([
  ['1m', '1Min'],
  ['5m', '5Min'],
  ['15m', '15Min'],
  ['1h', '1Hour'],
  ['1d', '1Day'],
])('timeframe %s is %s on the wire', (timeframe, wire) => {
  expect(alpaca.bind({ symbol: 'TSLA', timeframe }).request(window, null).query.timeframe).toBe(wire)
})

test('the credentials reach the headers, and neither subject nor fingerprint', () => {
  const request = alpaca.bind({ symbol: 'BRK.B', timeframe: '1d' }).request(window, null)
  const authorized = alpaca.authorize(request, keys)
  const http = httpRequestOf('http://127.0.0.1:8080', request, authorized)
  expect(http.headers).toEqual({ 'apca-api-key-id': 'key-1', 'apca-api-secret-key': 's3cret' })
  expect(http.subject).toBe(http.url)
  expect(http.subject).toMatch(
    /^http:\/\/127\.0\.0\.1:8080\/v2\/stocks\/bars\?symbols=BRK\.B&timeframe=1Day&start=2020-01-02T00%3A/,
  )
  expect(requestFingerprint(authorized)).toBe(requestFingerprint(request))
})

test.each(Object.keys(keys))('without %s nothing is authorized', (name) => {
  const request = alpaca.bind({ symbol: 'TSLA', timeframe: '1d' }).request(window, null)
  expect(() => alpaca.authorize(request, { ...keys, [name]: '' })).toThrow(`${name}: expected a value, got none`)
})

test('parameters are stored with their defaults, and the symbol is the subject', () => {
  const bound = alpaca.bind({ symbol: 'TSLA', timeframe: '1d' })
  expect(bound.params).toEqual({ symbol: 'TSLA', timeframe: '1d', feed: 'iex', adjustment: 'raw' })
  expect([bound.subject, bound.timeframe]).toEqual(['TSLA', '1d'])
})

test('a symbol with two streams names each by its subject', () => {
  const bound = alpaca.bind({ symbol: 'TSLA', timeframe: '1d', feed: 'sip', subject: 'TSLA@sip' })
  expect([bound.subject, bound.request(window, null).query.symbols]).toEqual(['TSLA@sip', 'TSLA'])
})

test.each([
  [{ timeframe: '1d' }, 'symbol'],
  [{ symbol: '', timeframe: '1d' }, 'expected 1 to 32 printable characters without space or comma'],
  [{ symbol: 'TSLA,QQQ', timeframe: '1d' }, 'expected 1 to 32 printable characters'],
  [{ symbol: 'TS LA', timeframe: '1d' }, 'expected 1 to 32 printable characters'],
  [{ symbol: 'TSLA\u0000', timeframe: '1d' }, 'expected 1 to 32 printable characters'],
  [{ symbol: 'X'.repeat(33), timeframe: '1d' }, 'expected 1 to 32 printable characters'],
  [{ symbol: 'TSLA' }, 'timeframe'],
  [{ symbol: 'TSLA', timeframe: '1w' }, 'timeframe'],
  [{ symbol: 'TSLA', timeframe: '1d', feed: 'cta' }, 'feed'],
  [{ symbol: 'TSLA', timeframe: '1d', adjustment: 'none' }, 'adjustment'],
  [{ symbol: 'TSLA', timeframe: '1d', adjusted: true }, 'adjusted'],
  [{ symbol: 'TSLA', timeframe: '1d', subject: 'a,b' }, 'subject'],
])('the parameters %j are refused, and the error says %s', (params, named) => {
  expect(() => alpaca.bind(params)).toThrow(named)
})

test.each([
  ['1m', 60, 1_200, 31],
  ['5m', 300, 1_200, 90],
  ['15m', 900, 1_200, 90],
  ['1h', 3_600, 1_200, 90],
  ['1d', 86_400, 4_800, 1_826],
])(
  'bars of %s: granularity %i s, settled after %i s, windows of at most %i days',
  (timeframe, granularityS, settleLagS, days) => {
    const { consistency } = alpaca.bind({ symbol: 'TSLA', timeframe })
    expect(consistency).toEqual({ granularityS, settleLagS, maxWindowS: days * 86_400, lookbackS: 7 * 86_400 })
  },
)

test('the budget leaves a margin below the 200 requests that any minute may hold', () => {
  const { capacity, refillPerS } = alpaca.budget
  expect(capacity + 60 * refillPerS).toBe(170)
})
