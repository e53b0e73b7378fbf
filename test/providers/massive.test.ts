import { expect, onTestFinished, test } from 'vitest'
import { barSeriesOf } from '../../jobs/local/providers/bar-series.ts'
import { type MassiveSimulatorOptions, startMassiveSimulator } from '../../jobs/local/providers/massive.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { floorTo, formatDate, type Instant, parseInstant } from '../../shared/instant.ts'
import { httpRequestOf, type ProviderAnswer, type ProviderRequest } from '../../shared/sources/contract.ts'
import { massive } from '../../shared/sources/massive/massive.ts'

const KEY = 'good-key'
type Bound = ReturnType<typeof massive.bind>
const sessions = loadSessions()
const series = ['TSLA', 'I:NDX', 'C:XAUUSD'].map((symbol) => barSeriesOf(symbol, sessions))
const http = createHttpClient({ timeoutMs: 30_000, triesMax: 1, backoffBaseMs: 1 })

const at = (text: string) => parseInstant(text.length === 10 ? `${text}T00:00:00Z` : text) as Instant
const bind = (symbol: string, timeframe: string, more: Record<string, string> = {}) =>
  massive.bind({ symbol, timeframe, ...more })
const requestOf = (bound: Bound, lo: string, hi: string) => bound.request({ lo: at(lo), hi: at(hi) }, null)

async function startMassive(options: Partial<MassiveSimulatorOptions> = {}): Promise<Simulator> {
  const limits = { requestsPerMinute: 1_000, ...options.limits }
  const simulator = await startMassiveSimulator({ series, ...options, limits })
  onTestFinished(() => simulator.close())
  return simulator
}

async function ask({ url }: Simulator, request: ProviderRequest, key = KEY): Promise<ProviderAnswer> {
  return await http(httpRequestOf(url, request, massive.authorize(request, { MASSIVE_API_KEY: key })), {
    signal: AbortSignal.timeout(30_000),
    bodyBytesMax: massive.bodyBytesMax,
  })
}

const decode = ({ body }: ProviderAnswer) => JSON.parse(new TextDecoder().decode(body))

/** All bars of a window, page by page as the platform asks for them; throws where a page is none. */
async function fetchBars(simulator: Simulator, bound: Bound, [lo, hi]: readonly [string, string]) {
  const rows: { readonly ts: string; readonly date: string; readonly close: unknown; readonly volume: unknown }[] = []
  const pages: number[] = []
  let rejects = 0
  for (let token: string | null | undefined = null; token !== undefined && pages.length < 100; ) {
    const answer = await ask(simulator, bound.request({ lo: at(lo), hi: at(hi) }, token))
    const verdict = bound.page(answer)
    if (verdict.kind !== 'page') throw new Error(`page ${pages.length}: ${verdict.kind}: ${verdict.detail}`)
    const sink = createRecordSink(massive.dataset)
    bound.records(answer.body, sink)
    const page = sink.finish()
    rejects += page.rejects.length
    const { ts = [], session_date: dates = [], close = [], volume = [] } = page.rows.columns
    for (const [row, instant] of [...ts].entries()) {
      const date = formatDate(Number(dates[row]))
      rows.push({ ts: new Date(Number(instant) / 1_000).toISOString(), date, close: close[row], volume: volume[row] })
    }
    pages.push(verdict.records)
    // The platform takes a token that it asked with for an endless chain.
    if (verdict.next !== null && verdict.next === token)
      throw new Error(`page ${pages.length}: expected another token, got ${token} again`)
    token = verdict.next ?? undefined
  }
  return { rows, pages, rejects }
}

const datesBetween = (lo: string, hi: string) =>
  sessions.map(({ date }) => formatDate(date)).filter((date) => date >= lo && date < hi)

const requestId = expect.stringMatching(/^[0-9a-f]{32}$/)

test('a page of a stock has the form that Massive documents, midnight in New York as the time of a day', async () => {
  const answer = await ask(await startMassive(), requestOf(bind('TSLA', '1d'), '2019-07-01', '2019-07-02'))
  expect(answer.headers['content-type']).toBe('application/json; charset=UTF-8')
  const t = Date.parse('2019-07-01T04:00:00Z')
  const prices = { o: 2971.409912, c: 2964.330078, h: 2977.929932, l: 2952.219971 }
  expect(decode(answer)).toEqual({
    ticker: 'TSLA',
    queryCount: 1,
    resultsCount: 1,
    adjusted: false,
    results: [{ v: 3513270000, vw: 2964.82666, ...prices, t, n: 17566350 }],
    status: 'DELAYED',
    request_id: requestId,
    count: 1,
  })
})

test('a page of an index has prices only, and midnight in Chicago', async () => {
  const answer = await ask(await startMassive(), requestOf(bind('I:NDX', '1d'), '2019-07-01', '2019-07-02'))
  const t = Date.parse('2019-07-01T05:00:00Z')
  expect(decode(answer)).toEqual({
    ticker: 'I:NDX',
    queryCount: 1,
    results: [{ o: 2971.409912, c: 2964.330078, h: 2977.929932, l: 2952.219971, t }],
    status: 'DELAYED',
    request_id: requestId,
    count: 1,
  })
})

test('a day of a metal begins at 00:00Z, and its volume counts quotes', async () => {
  const answer = await ask(await startMassive(), requestOf(bind('C:XAUUSD', '1d'), '2019-07-01', '2019-07-02'))
  const [bar] = decode(answer).results
  expect([bar.t, bar.v === bar.n, typeof bar.vw]).toEqual([Date.parse('2019-07-01'), true, 'number'])
})

test.each([
  ['a range without bars', requestOf(bind('TSLA', '1m'), '2019-07-04', '2019-07-05')],
  ['a symbol that nobody knows', requestOf(bind('NONE', '1m'), '2019-07-01', '2019-07-05')],
])('%s is an answer without results', async (_what, request) => {
  const answer = await ask(await startMassive({ status: 'OK' }), request)
  const { request_id: _, ...body } = decode(answer)
  const ticker = request.path.split('/')[4]
  expect(body).toEqual({ ticker, queryCount: 0, resultsCount: 0, adjusted: false, status: 'OK', count: 0 })
})

// The first year, both DST switches of two years, the turn of a year, and the end of the data.
test.each(['TSLA', 'I:NDX', 'C:XAUUSD'])(
  'windows of daily bars of %s give each session once, with its date, in its own window',
  async (symbol) => {
    const simulator = await startMassive()
    const bound = bind(symbol, '1d')
    const whole = await fetchBars(simulator, bound, ['2000-01-01', '2020-05-01'])
    expect([whole.rejects, whole.rows.map(({ date }) => date)]).toEqual([0, datesBetween('2000-01-01', '2020-05-01')])
    expect(whole.rows.filter(({ ts, date }) => ts !== `${date}T00:00:00.000Z`)).toEqual([])
    const days = ['2006-03-31', '2006-04-03', '2018-12-31', '2019-03-08', '2019-03-11', '2019-11-01', '2019-11-04']
    for (const lo of [...days, '2019-03-10', '2019-11-03']) {
      const hi = formatDate(Date.parse(lo) / 86_400_000 + 1)
      const { rows } = await fetchBars(simulator, bound, [lo, hi])
      expect([lo, rows.map(({ date }) => date)]).toEqual([lo, datesBetween(lo, hi)])
    }
  },
)

test('a millisecond of 00:00Z as the beginning of a day would bring the day before along', async () => {
  const request = requestOf(bind('TSLA', '1d'), '2019-07-02', '2019-07-03')
  const path = request.path.replace('2019-07-02', String(Date.parse('2019-07-02')))
  const { results } = decode(await ask(await startMassive(), { ...request, path }))
  const dates = results.map(({ t }: { t: number }) => new Date(t).toISOString().slice(0, 10))
  expect(dates).toEqual(['2019-07-01', '2019-07-02'])
})

test.each([
  ['1m', 60_000],
  ['5m', 300_000],
  ['15m', 900_000],
  ['1h', 3_600_000],
])('both ends of a range of %s are inclusive and widened to whole bars', async (timeframe, stepMs) => {
  const openMs = Date.parse('2019-07-01T14:00:00Z')
  const request = requestOf(bind('TSLA', timeframe), '2019-07-01', '2019-07-02')
  const path = request.path.replace(/\d+\/\d+$/, `${openMs + 1}/${openMs + stepMs}`)
  const { results } = decode(await ask(await startMassive(), { ...request, path }))
  expect(results.map(({ t }: { t: number }) => t)).toEqual([openMs, openMs + stepMs])
})

test('two adjacent windows give what one over both gives', async () => {
  const simulator = await startMassive()
  const minutely = bind('C:XAUUSD', '1m')
  const whole = await fetchBars(simulator, minutely, ['2019-07-01', '2019-07-31'])
  const first = await fetchBars(simulator, minutely, ['2019-07-01', '2019-07-19T15:01:00Z'])
  const second = await fetchBars(simulator, minutely, ['2019-07-19T15:01:00Z', '2019-07-31'])
  expect(whole.pages).toEqual([21 * 390])
  expect([...first.rows, ...second.rows]).toEqual(whole.rows)
})

test.each(['1m', '5m', '15m', '1h'])(
  'bars of %s that a page cannot make whole are left to the next',
  async (timeframe) => {
    const window = ['2019-07-01', '2019-07-06'] as const
    const bound = bind('TSLA', timeframe)
    const whole = await fetchBars(await startMassive(), bound, window)
    const simulator = await startMassive({ limits: { baseBarsGiven: 197 } })
    const { rows, pages } = await fetchBars(simulator, bound, window)
    expect(pages.length).toBeGreaterThan(7)
    expect(rows).toEqual(whole.rows)
  },
)

test('daily bars go on with the day after the last', async () => {
  const simulator = await startMassive({ limits: { baseBarsGiven: 100 } })
  const { rows, pages } = await fetchBars(simulator, bind('I:NDX', '1d'), ['2019-01-01', '2020-01-01'])
  expect(pages).toEqual([100, 100, 52])
  expect(rows.map(({ date }) => date)).toEqual(datesBetween('2019-01-01', '2020-01-01'))
})

test('next_url moves the beginning, names the public address and no key, and its cursor forgets the adjustment', async () => {
  const simulator = await startMassive({ limits: { baseBarsGiven: 2 } })
  const request = requestOf(bind('TSLA', '1m'), '2019-07-01', '2019-07-02')
  const { next_url: nextUrl } = decode(await ask(simulator, request))
  const from = Date.parse('2019-07-01T13:32:00Z')
  const to = Date.parse('2019-07-02') - 1
  const cursor = Buffer.from('limit=50000&sort=asc').toString('base64url')
  expect(nextUrl).toBe(`https://api.massive.com/v2/aggs/ticker/TSLA/range/1/minute/${from}/${to}?cursor=${cursor}`)
  const { pathname: path } = new URL(nextUrl)
  const literally = decode(await ask(simulator, { method: 'GET', path, query: { cursor } }))
  expect([literally.adjusted, literally.results[0].t]).toEqual([true, from])
})

test('an empty page on the way leads to the bars', async () => {
  const simulator = await startMassive({ faults: [{ kind: 'empty-page' }, { kind: 'empty-page' }] })
  const { pages } = await fetchBars(simulator, bind('TSLA', '1m'), ['2019-07-01', '2019-07-02'])
  expect(pages).toEqual([0, 0, 390])
})

test.each<[string, string, Record<string, string>, string]>([
  ['a date that does not exist', '2019-02-30/2019-03-01', {}, "Could not parse the time parameter: 'from'"],
  ['an end that is none', '2019-07-01/now', {}, "Could not parse the time parameter: 'to'"],
  [
    'an end before the beginning',
    '2019-07-02/2019-07-01',
    {},
    "The parameter 'to' cannot be a time that occurs before",
  ],
  ['a limit beyond the largest', '2019-07-01/2019-07-02', { limit: '50001' }, "'limit' must be between 1 and 50000"],
  ['a limit of nothing', '2019-07-01/2019-07-02', { limit: '0' }, "'limit' must be between 1 and 50000"],
  ['another order', '2019-07-01/2019-07-02', { sort: 'desc' }, 'sort'],
  ['an adjustment that is none', '2019-07-01/2019-07-02', { adjusted: 'no' }, 'adjusted'],
  ['a parameter that nobody knows', '2019-07-01/2019-07-02', { order: 'asc' }, 'order'],
  ['the key in the query', '2019-07-01/2019-07-02', { apiKey: KEY }, 'apiKey'],
])('%s is a 400', async (_what, ends, query, message) => {
  const path = `/v2/aggs/ticker/TSLA/range/1/minute/${ends}`
  const answer = await ask(await startMassive(), { method: 'GET', path, query })
  expect([answer.status, decode(answer)]).toEqual([
    400,
    { status: 'ERROR', request_id: requestId, error: expect.stringContaining(message) },
  ])
})

test.each([
  ['/v2/aggs/ticker/TSLA/range/3/minute/2019-07-01/2019-07-02', 400],
  ['/v2/aggs/ticker/TSLA/prev', 404],
])('%s is a %i', async (path, status) => {
  expect((await ask(await startMassive(), { method: 'GET', path, query: {} })).status).toBe(status)
})

test('without a key nobody is let in, and with a wrong one neither', async () => {
  const simulator = await startMassive({ key: KEY })
  const request = requestOf(bind('TSLA', '1d'), '2019-07-01', '2019-07-02')
  const bare = await fetch(`${simulator.url}${request.path}`)
  expect([bare.status, await bare.json()]).toMatchObject([401, { error: 'API Key was not provided' }])
  const wrong = await ask(simulator, request, 'other')
  expect(bind('TSLA', '1d').page(wrong)).toEqual({
    kind: 'auth',
    detail: 'expected http 200, got 401: Unknown API Key',
  })
  expect((await ask(simulator, request)).status).toBe(200)
})

test('any minute holds 5 requests, and the source says throttled of the next', async () => {
  let nowMs = Date.parse('2026-03-02T18:00:00Z')
  const simulator = await startMassiveSimulator({ series, now: () => nowMs })
  onTestFinished(() => simulator.close())
  const bound = bind('TSLA', '1d')
  const request = requestOf(bound, '2019-07-01', '2019-07-02')
  for (let count = 0; count < 5; count++) expect((await ask(simulator, request)).status).toBe(200)
  nowMs += 59_999
  const { kind, detail } = bound.page(await ask(simulator, request)) as { kind: string; detail: string }
  expect([kind, detail]).toEqual(['throttled', expect.stringContaining('exceeded the maximum requests per minute')])
  nowMs++
  expect((await ask(simulator, request)).status).toBe(200)
})

test('today in New York is refused whole, until it is over there', async () => {
  let nowMs = Date.parse('2019-07-02T04:00:00Z') - 1
  const simulator = await startMassive({ now: () => nowMs })
  const request = requestOf(bind('TSLA', '1d'), '2019-07-01', '2019-07-02')
  const refused = decode(await ask(simulator, request))
  expect(refused).toMatchObject({ status: 'NOT_AUTHORIZED', message: expect.stringContaining("today's data") })
  nowMs++
  expect((await ask(simulator, request)).status).toBe(200)
})

test.each(['1m', '1h', '1d'])(
  'after the settle lag of %s nothing is asked for that the free plan refuses',
  async (timeframe) => {
    let nowMs = 0
    const simulator = await startMassive({ now: () => nowMs })
    for (const symbol of ['TSLA', 'I:NDX', 'C:XAUUSD']) {
      const bound = bind(symbol, timeframe)
      const { settleLagS, granularityS } = bound.consistency
      // Every third hour of the days around both switches, when a day in New York has 23 or 25.
      for (const from of ['2019-03-09', '2019-11-02']) {
        for (let hour = 0; hour < 72; hour += 3) {
          nowMs = Date.parse(from) + hour * 3_600_000
          const step = BigInt(granularityS) * 1_000_000n
          const hi = floorTo(BigInt(nowMs - settleLagS * 1_000) * 1_000n, step)
          const { status } = await ask(simulator, bound.request({ lo: hi - step, hi }, null))
          expect([symbol, from, hour, status]).toEqual([symbol, from, hour, 200])
        }
      }
    }
  },
)
