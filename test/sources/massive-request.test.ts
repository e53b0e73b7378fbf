import { expect, test } from 'vitest'
import { partitionOf } from '../../shared/curated/partition-path.ts'
import { type Instant, parseInstant } from '../../shared/instant.ts'
import { httpRequestOf, requestFingerprint } from '../../shared/sources/contract.ts'
import { massive } from '../../shared/sources/massive/massive.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const at = (text: string) => parseInstant(text) as Instant
const window = { lo: at('2020-01-02T00:00:00Z'), hi: at('2020-02-01T00:00:00Z') }
const KEY = 's3cret-key'

test('the registry knows massive', () => {
  expect(SOURCES.get('massive')).toBe(massive)
})

test('a half-open window of minutes ends one millisecond early, where both ends are inclusive', () => {
  expect(massive.bind({ symbol: 'TSLA', timeframe: '1m' }).request(window, null)).toEqual({
    method: 'GET',
    path: '/v2/aggs/ticker/TSLA/range/1/minute/1577923200000/1580515199999',
    query: { adjusted: 'false', sort: 'asc', limit: '50000' },
  })
})

test('a window of days is asked for by its first and its last date', () => {
  const { path } = massive.bind({ symbol: 'TSLA', timeframe: '1d' }).request(window, null)
  expect(path).toBe('/v2/aggs/ticker/TSLA/range/1/day/2020-01-02/2020-01-31')
})

test.each([
  ['1m', '1/minute'],
  ['5m', '5/minute'],
  ['15m', '15/minute'],
  ['1h', '1/hour'],
  ['1d', '1/day'],
])('timeframe %s is %s on the wire', (timeframe, wire) => {
  const { path } = massive.bind({ symbol: 'I:NDX', timeframe }).request(window, null)
  expect(path).toMatch(new RegExp(`^/v2/aggs/ticker/I:NDX/range/${wire}/\\d`))
})

test.each([
  ['TSLA', 'raw', 'false'],
  ['TSLA', 'split', 'true'],
  ['I:NDX', 'raw', undefined],
  ['C:XAUUSD', 'raw', undefined],
])('bars of %s are asked for %s: adjusted is %s', (symbol, adjustment, adjusted) => {
  const { query } = massive.bind({ symbol, timeframe: '1d', adjustment }).request(window, null)
  expect(query.adjusted).toBe(adjusted)
})

// With the cursor of next_url, which repeats limit and order only, the rest of raw bars would come adjusted.
test.each(['1m', '1d'])('a later page of %s is the same request from a later millisecond', (timeframe) => {
  const bound = massive.bind({ symbol: 'TSLA', timeframe })
  const first = bound.request(window, null)
  const later = bound.request(window, '1578114000000')
  expect(later).toEqual({ ...first, path: first.path.replace(/[^/]+(?=\/[^/]+$)/, '1578114000000') })
  expect(later.path).not.toBe(first.path)
})

test('the key reaches a header, and neither address, subject nor fingerprint', () => {
  const request = massive.bind({ symbol: 'C:XAUUSD', timeframe: '1d' }).request(window, null)
  const authorized = massive.authorize(request, { MASSIVE_API_KEY: KEY })
  const http = httpRequestOf('http://127.0.0.1:8080', request, authorized)
  expect(http.headers).toEqual({ authorization: `Bearer ${KEY}` })
  expect(http.url).toBe(
    'http://127.0.0.1:8080/v2/aggs/ticker/C:XAUUSD/range/1/day/2020-01-02/2020-01-31?sort=asc&limit=50000',
  )
  expect(http.subject).toBe(http.url)
  expect(requestFingerprint(authorized)).toBe(requestFingerprint(request))
})

test.each([{}, { MASSIVE_API_KEY: '' }])('with the credentials %j nothing is authorized', (credentials) => {
  const request = massive.bind({ symbol: 'TSLA', timeframe: '1d' }).request(window, null)
  expect(() => massive.authorize(request, credentials)).toThrow('MASSIVE_API_KEY: expected a value, got none')
})

test('parameters are stored with their defaults, and the symbol is the subject', () => {
  const bound = massive.bind({ symbol: 'I:NDX', timeframe: '1d' })
  expect(bound.params).toEqual({ symbol: 'I:NDX', timeframe: '1d', adjustment: 'raw' })
  expect([bound.subject, bound.timeframe]).toEqual(['I:NDX', '1d'])
})

test('a symbol with two streams names each by its subject', () => {
  const bound = massive.bind({ symbol: 'TSLA', timeframe: '1d', adjustment: 'split', subject: 'TSLA@split' })
  expect([bound.subject, bound.request(window, null).path]).toEqual([
    'TSLA@split',
    '/v2/aggs/ticker/TSLA/range/1/day/2020-01-02/2020-01-31',
  ])
})

test('the colon of a symbol is encoded in the path of its files', () => {
  const { subject, timeframe = '' } = massive.bind({ symbol: 'I:NDX', timeframe: '1m' })
  const place = { dataset: 'bars', source: 'massive', subject, timeframe }
  expect(partitionOf(massive.dataset, place, window.lo).path).toBe(
    'dataset=bars/timeframe=1m/symbol=I%3ANDX/year=2020/month=01/part-massive.parquet',
  )
})

test.each(['TSLA', 'BRK.B', 'BACpL', 'I:NDX', 'C:XAUUSD'])('%s is a symbol', (symbol) => {
  expect(massive.bind({ symbol, timeframe: '1d' }).subject).toBe(symbol)
})

test.each([
  [{ timeframe: '1d' }, 'symbol'],
  [{ symbol: '', timeframe: '1d' }, 'expected a symbol such as TSLA, I:NDX or C:XAUUSD, got \\"\\"'],
  [{ symbol: 'X:BTCUSD', timeframe: '1d' }, 'expected a symbol such as TSLA, I:NDX or C:XAUUSD'],
  [{ symbol: 'O:TSLA210903C00700000', timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: 'I:', timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: 'C:XAU/USD', timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: '../v3', timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: 'TSLA,QQQ', timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: 'X'.repeat(31), timeframe: '1d' }, 'expected a symbol such as'],
  [{ symbol: 'TSLA' }, 'timeframe'],
  [{ symbol: 'TSLA', timeframe: '1w' }, 'timeframe'],
  [{ symbol: 'TSLA', timeframe: '1d', adjustment: 'all' }, 'adjustment'],
  [{ symbol: 'I:NDX', timeframe: '1d', adjustment: 'split' }, 'expected raw for a symbol that is no stock'],
  [{ symbol: 'TSLA', timeframe: '1d', adjusted: true }, 'adjusted'],
  [{ symbol: 'TSLA', timeframe: '1d', subject: 'a b' }, 'expected 1 to 60 printable characters'],
])('the parameters %j are refused, and the error says %s', (params, named) => {
  expect(() => massive.bind(params)).toThrow(named)
})

test.each([
  ['1m', 60, 36, 31],
  ['5m', 300, 36, 31],
  ['15m', 900, 36, 31],
  ['1h', 3_600, 36, 31],
  ['1d', 86_400, 24, 1_826],
])(
  'bars of %s: granularity %i s, settled after %i hours, windows of at most %i days',
  (timeframe, granularityS, hours, days) => {
    const { consistency } = massive.bind({ symbol: 'TSLA', timeframe })
    const settleLagS = hours * 3_600
    expect(consistency).toEqual({ granularityS, settleLagS, maxWindowS: days * 86_400, lookbackS: 7 * 86_400 })
  },
)

test('a window where trading never stops has fewer minutes than one page may hold', () => {
  for (const timeframe of ['1m', '5m', '15m', '1h']) {
    const bound = massive.bind({ symbol: 'C:XAUUSD', timeframe })
    expect(bound.consistency.maxWindowS / 60).toBeLessThan(Number(bound.request(window, null).query.limit))
  }
})

test('the budget leaves a margin below the 5 requests that any minute may hold', () => {
  const { capacity, refillPerS } = massive.budget
  expect(Math.floor(capacity + 60 * refillPerS)).toBe(4)
})
