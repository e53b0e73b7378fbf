import { expect, test } from 'vitest'
import { revisedSeries, seededRevisions } from '../../jobs/local/providers/bar-series.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { ProviderRequest } from '../../shared/sources/contract.ts'
import { ask, fetchBars, startAlpaca, windowOf } from './chain.ts'

const series = loadSp500()
const minutely = alpaca.bind({ symbol: 'SPX', timeframe: '1m' })
const daily = alpaca.bind({ symbol: 'SPX', timeframe: '1d' })
const oneDay = windowOf('2019-07-01', '2019-07-02')
const tenDays = windowOf('2019-07-01', '2019-07-11')

const request = (changes: Record<string, string>): ProviderRequest => {
  const good = daily.request(windowOf('2019-07-01', '2019-07-06'), null)
  return { ...good, query: { ...good.query, ...changes } }
}

function decode(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(body))
}

test('a page is bars by symbol, with midnight in New York as the time of a daily bar', async () => {
  const simulator = await startAlpaca({ series })
  const answer = await ask(simulator, daily.request(oneDay, null))
  expect(answer.headers['content-type']).toBe('application/json; charset=UTF-8')
  expect(decode(answer.body)).toEqual({
    bars: {
      SPX: [
        {
          t: '2019-07-01T04:00:00Z',
          o: 2971.409912,
          h: 2977.929932,
          l: 2952.219971,
          c: 2964.330078,
          v: 3513270000,
          n: 17566350,
          vw: 2964.82666,
        },
      ],
    },
    next_page_token: null,
  })
})

test.each([
  ['a range without bars', { start: '2019-07-04T00:00:00Z', end: '2019-07-04T23:59:59Z' }],
  ['a symbol that nobody knows', { symbols: 'NONE' }],
  ['the future', { start: '2119-07-04T00:00:00Z', end: '2119-07-05T00:00:00Z' }],
])('%s is an empty page', async (_what, changes) => {
  const simulator = await startAlpaca({ series })
  const answer = await ask(simulator, request(changes))
  expect([answer.status, decode(answer.body)]).toEqual([200, { bars: {}, next_page_token: null }])
})

test('start and end are both inclusive', async () => {
  const simulator = await startAlpaca({ series })
  const range = { start: '2019-07-01T04:00:00Z', end: '2019-07-03T04:00:00Z' }
  const { bars } = decode((await ask(simulator, request(range))).body) as { bars: { SPX: { t: string }[] } }
  expect(bars.SPX.map(({ t }) => t.slice(0, 10))).toEqual(['2019-07-01', '2019-07-02', '2019-07-03'])
})

test('limit counts the bars of all symbols, and the first symbol comes first', async () => {
  const simulator = await startAlpaca({ series: [loadSp500('BBB'), loadSp500('AAA')] })
  const pages: string[][] = []
  let token = ''
  do {
    const changes = { symbols: 'BBB,AAA', limit: '3', ...(token === '' ? {} : { page_token: token }) }
    const page = decode((await ask(simulator, request(changes))).body) as {
      bars: Record<string, { t: string }[]>
      next_page_token: string | null
    }
    pages.push(
      Object.entries(page.bars).flatMap(([symbol, bars]) => bars.map(({ t }) => `${symbol} ${t.slice(8, 10)}`)),
    )
    token = page.next_page_token ?? ''
  } while (token !== '')
  expect(pages).toEqual([
    ['AAA 01', 'AAA 02', 'AAA 03'],
    ['AAA 05', 'BBB 01', 'BBB 02'],
    ['BBB 03', 'BBB 05'],
  ])
})

test.each<[string, Record<string, string>, string]>([
  ['no symbol', { symbols: '' }, 'invalid symbol: '],
  ['a symbol in lower case', { symbols: 'spx' }, 'invalid symbol: spx'],
  ['a wrong timeframe', { timeframe: '1d' }, 'invalid timeframe: 1d'],
  ['a wrong feed', { feed: 'cta' }, 'invalid feed: cta'],
  ['a wrong adjustment', { adjustment: 'none' }, 'invalid adjustment: none'],
  ['a time that is none', { start: 'yesterday' }, 'invalid start: yesterday'],
  ['an end before the start', { end: '2000-01-01T00:00:00Z' }, 'end should not be before start'],
  ['a limit beyond the largest', { limit: '10001' }, 'invalid limit: 10001, expected 1 to 10000'],
  ['a limit of nothing', { limit: '0' }, 'invalid limit: 0, expected 1 to 10000'],
  ['a parameter that nobody knows', { symbol: 'SPX' }, 'unexpected query parameter(s): symbol'],
  ['a token that is none', { page_token: 'abc' }, 'invalid page token'],
])('%s is a 400', async (_what, changes, message) => {
  const simulator = await startAlpaca({ series })
  const answer = await ask(simulator, request(changes))
  expect([answer.status, decode(answer.body)]).toEqual([400, { code: 40010000, message }])
})

test('a token is good for the very same request only', async () => {
  const simulator = await startAlpaca({ series })
  const { next_page_token: token } = decode((await ask(simulator, request({ limit: '2' }))).body) as {
    next_page_token: string
  }
  expect((await ask(simulator, request({ limit: '2', page_token: token }))).status).toBe(200)
  expect((await ask(simulator, request({ limit: '3', page_token: token }))).status).toBe(400)
})

test('without keys nobody is let in, and with wrong ones neither', async () => {
  const simulator = await startAlpaca({ series, keys: { id: 'key-1', secret: 'other' } })
  const bare = await fetch(`${simulator.url}/v2/stocks/bars`)
  expect([bare.status, await bare.json()]).toEqual([403, { code: 40310000, message: 'forbidden.' }])
  expect((await ask(simulator, request({}))).status).toBe(401)
})

test('any other path is a 404', async () => {
  const simulator = await startAlpaca({ series })
  expect((await ask(simulator, { ...request({}), path: '/v2/stocks/trades' })).status).toBe(404)
})

test('any minute holds 200 requests, and the next one is told when there is room again', async () => {
  let nowMs = Date.parse('2026-03-01T12:00:00Z')
  const simulator = await startAlpaca({ series, now: () => nowMs })
  for (let count = 0; count < 200; count++) expect((await ask(simulator, request({}))).status).toBe(200)
  nowMs += 59_000
  const refused = await ask(simulator, request({}))
  expect(refused.headers).toMatchObject({ 'x-ratelimit-limit': '200', 'x-ratelimit-remaining': '0' })
  expect(daily.page(refused)).toEqual({
    kind: 'throttled',
    retryAfterMs: 1_000,
    detail: 'expected http 200, got 429: too many requests.',
  })
  nowMs += 1_000
  expect((await ask(simulator, request({}))).status).toBe(200)
})

test('a bar that has not closed by the provider’s clock is not there', async () => {
  const now = () => Date.parse('2019-07-01T14:30:30Z')
  const simulator = await startAlpaca({ series, now })
  const { rows } = await fetchBars(simulator, minutely, oneDay)
  expect([rows.length, rows.at(-1)?.ts]).toEqual([60, '2019-07-01T14:29:00.000Z'])
  expect((await fetchBars(simulator, daily, oneDay)).rows).toEqual([])
})

test('the last 15 minutes of sip are refused, as on the free plan', async () => {
  const now = () => Date.parse('2019-07-01T23:59:59Z') + 900_000
  const simulator = await startAlpaca({ series, now })
  const sip = alpaca.bind({ symbol: 'SPX', timeframe: '1m', feed: 'sip' })
  expect((await ask(simulator, sip.request(oneDay, null))).status).toBe(200)
  const late = sip.request({ ...oneDay, hi: oneDay.hi + 1_000_000n }, null)
  expect(sip.page(await ask(simulator, late))).toEqual({
    kind: 'auth',
    detail: 'expected http 200, got 403: subscription does not permit querying recent SIP data',
  })
})

test('a late row before the cursor is missed by the running chain and found by the next', async () => {
  let pages = 0
  const late = revisedSeries(series, (bar) => (pages < 2 && bar.atS % 3_600 === 0 ? undefined : bar))
  const simulator = await startAlpaca({
    series: late,
    faults: () => {
      pages++
      return undefined
    },
  })
  const window = windowOf('2019-07-01', '2019-09-01')
  const first = await fetchBars(simulator, minutely, window)
  const second = await fetchBars(simulator, minutely, window)
  expect(first.pages.length).toBe(2)
  expect(second.rows.length).toBe(44 * 390)
  expect(first.rows.length).toBeLessThan(second.rows.length)
  expect(new Set(first.rows.map(({ ts }) => ts)).size).toBe(first.rows.length)
})

test('seeded revisions: some bars come late, some are corrected, and all are final after the delay', async () => {
  let nowMs = Date.parse('2019-07-01T20:00:00Z')
  const revise = seededRevisions({ seed: 'a', now: () => nowMs, share: 0.05, delayMs: 86_400_000 })
  const simulator = await startAlpaca({ series: revisedSeries(series, revise), now: () => nowMs })
  const early = await fetchBars(simulator, minutely, oneDay)
  nowMs += 2 * 86_400_000
  const final = await fetchBars(simulator, minutely, oneDay)
  const volumes = new Map(final.rows.map(({ ts, volume }) => [ts, volume]))
  const corrected = early.rows.filter(({ ts, volume }) => volumes.get(ts) !== volume)
  expect([final.rows.length, early.rows.length, corrected.length]).toEqual([390, 379, 17])
  const clean = await startAlpaca({ series })
  expect(final.rows).toEqual((await fetchBars(clean, minutely, oneDay)).rows)
})

test('requests are recorded with the status they got', async () => {
  const simulator = await startAlpaca({ series, faults: [{ kind: 'error', status: 400 }] })
  await ask(simulator, daily.request(tenDays, null))
  await ask(simulator, daily.request(tenDays, null))
  expect(simulator.requests.map(({ count, status }) => [count, status])).toEqual([
    [1, 400],
    [2, 200],
  ])
  expect(simulator.requests[0]).toMatchObject({
    path: '/v2/stocks/bars',
    query: { symbols: 'SPX', timeframe: '1Day' },
    headers: { 'apca-api-key-id': 'key-1' },
  })
})
