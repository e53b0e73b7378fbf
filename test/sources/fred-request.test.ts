import { expect, test } from 'vitest'
import { partitionOf } from '../../shared/curated/partition-path.ts'
import { type Instant, parseInstant } from '../../shared/instant.ts'
import { httpRequestOf, requestFingerprint } from '../../shared/sources/contract.ts'
import { fred } from '../../shared/sources/fred/fred.ts'
import { SOURCES } from '../../shared/sources/registry.ts'

const at = (text: string) => parseInstant(text) as Instant
const window = { lo: at('2018-12-31T00:00:00Z'), hi: at('2020-03-01T00:00:00Z') }
const KEY = 'abcdef0123456789abcdef0123456789'

test('the registry knows fred', () => {
  expect(SOURCES.get('fred')).toBe(fred)
})

test('a half-open window ends a day early, where both dates are inclusive', () => {
  expect(fred.bind({ series_id: 'DGS10' }).request(window, null)).toEqual({
    method: 'GET',
    path: '/fred/series/observations',
    query: {
      series_id: 'DGS10',
      file_type: 'json',
      observation_start: '2018-12-31',
      observation_end: '2020-02-29',
      sort_order: 'asc',
      limit: '100000',
      offset: '0',
      units: 'lin',
    },
  })
})

test('a window of one day before 1970 asks for that day', () => {
  const { query } = fred
    .bind({ series_id: 'DGS10' })
    .request({ lo: at('1962-01-02T00:00:00Z'), hi: at('1962-01-03T00:00:00Z') }, null)
  expect([query.observation_start, query.observation_end]).toEqual(['1962-01-02', '1962-01-02'])
})

test('a later page differs in its first date alone, and begins where the one before ended', () => {
  const bound = fred.bind({ series_id: 'DGS10' })
  const first = bound.request(window, null)
  expect(bound.request(window, '2019-07-04')).toEqual({
    ...first,
    query: { ...first.query, observation_start: '2019-07-04' },
  })
})

test('the key reaches the url, and neither path, subject nor fingerprint', () => {
  const request = fred.bind({ series_id: 'DGS10' }).request(window, null)
  const authorized = fred.authorize(request, { FRED_API_KEY: KEY })
  const http = httpRequestOf('http://127.0.0.1:8080', request, authorized)
  expect(new URL(http.url).searchParams.get('api_key')).toBe(KEY)
  expect(JSON.stringify([http.subject, http.headers, authorized.path, authorized.headers])).not.toContain(KEY)
  expect(http.subject).toMatch(
    /^http:\/\/127\.0\.0\.1:8080\/fred\/series\/observations\?series_id=DGS10&file_type=json&/,
  )
  expect(requestFingerprint(request)).not.toBe(requestFingerprint(authorized))
  expect(JSON.stringify(request)).not.toContain('api_key')
})

test('without a key nothing is authorized', () => {
  const request = fred.bind({ series_id: 'DGS10' }).request(window, null)
  expect(() => fred.authorize(request, {})).toThrow('FRED_API_KEY: expected a value, got none')
})

test('parameters are stored with their defaults, the series is the subject, and there is no timeframe', () => {
  const bound = fred.bind({ series_id: 'DGS10' })
  expect([bound.params, bound.subject, bound.timeframe]).toEqual([
    { series_id: 'DGS10', units: 'lin' },
    'DGS10',
    undefined,
  ])
})

test('a year of a series is one file', () => {
  const { subject } = fred.bind({ series_id: 'DGS10' })
  const place = { dataset: 'observations', source: 'fred', subject }
  const { path, lo, hi } = partitionOf(fred.dataset, place, at('2019-12-31T00:00:00Z'))
  expect(path).toBe('dataset=observations/symbol=DGS10/year=2019/part-fred.parquet')
  expect([lo, hi]).toEqual([at('2019-01-01T00:00:00Z'), at('2020-01-01T00:00:00Z')])
})

test('a series in other units is a stream of another subject', () => {
  const bound = fred.bind({ series_id: 'DGS10', units: 'chg', subject: 'DGS10@chg' })
  const { series_id, units } = bound.request(window, null).query
  expect([bound.subject, series_id, units]).toEqual(['DGS10@chg', 'DGS10', 'chg'])
})

test.each([
  [{}, 'series_id'],
  [{ series_id: '' }, 'expected 1 to 40 letters, digits, dots, hyphens or underscores'],
  [{ series_id: 'DGS10&api_key=x' }, 'expected 1 to 40 letters, digits, dots, hyphens or underscores'],
  [{ series_id: 'A'.repeat(41) }, 'expected 1 to 40 letters, digits, dots, hyphens or underscores'],
  [{ series_id: 'DGS10', units: 'percent' }, 'units'],
  [{ series_id: 'DGS10', frequency: 'm' }, 'frequency'],
  [{ series_id: 'DGS10', subject: 'a b' }, 'expected 1 to 60 printable characters without space or comma'],
])('the parameters %j are refused, and the error says %s', (params, named) => {
  expect(() => fred.bind(params)).toThrow(named)
})

test('windows are whole days, settled after four, and of at most 25 years', () => {
  const { consistency } = fred.bind({ series_id: 'DGS10' })
  expect(consistency).toEqual({
    granularityS: 86_400,
    settleLagS: 4 * 86_400,
    maxWindowS: 9_131 * 86_400,
    lookbackS: 31 * 86_400,
  })
})

test('the largest window fits one page', () => {
  const bound = fred.bind({ series_id: 'DGS10' })
  expect(bound.consistency.maxWindowS / 86_400).toBeLessThan(Number(bound.request(window, null).query.limit))
})

test('three tokens of the budget span more than a second, and a minute has 76', () => {
  const { capacity, refillPerS } = fred.budget
  expect([(3 - capacity) / refillPerS > 1, Math.floor(capacity + 60 * refillPerS)]).toEqual([true, 76])
})
