import { expect, onTestFinished, test } from 'vitest'
import type { FaultPlan } from '../../jobs/local/providers/faults.ts'
import { type FredSimulatorOptions, startFredSimulator } from '../../jobs/local/providers/fred.ts'
import { loadObservationSeries } from '../../jobs/local/providers/observation-series.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import { createRecordSink } from '../../shared/datasets/record-sink.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { formatDate, type Instant, parseInstant } from '../../shared/instant.ts'
import { httpRequestOf, type ProviderAnswer, type ProviderRequest } from '../../shared/sources/contract.ts'
import { fred } from '../../shared/sources/fred/fred.ts'

const KEY = 'abcdef0123456789abcdef0123456789'
const series = loadObservationSeries()
const bound = fred.bind({ series_id: 'DGS10' })
const http = createHttpClient({ timeoutMs: 10_000, triesMax: 3, backoffBaseMs: 1 })
const MANY = { requestsPerSecond: 1_000, requestsPerMinute: 1_000 }

async function startFred(options: Partial<FredSimulatorOptions> = {}): Promise<Simulator> {
  const limits = { ...MANY, ...options.limits }
  const now = () => Date.parse('2026-03-02T18:00:00Z')
  const simulator = await startFredSimulator({ now, series, ...options, limits })
  onTestFinished(() => simulator.close())
  return simulator
}

function request(changes: Record<string, string> = {}, [lo, hi] = ['2019-07-01', '2019-07-06']): ProviderRequest {
  const at = (date: string) => parseInstant(`${date}T00:00:00Z`) as Instant
  const good = bound.request({ lo: at(lo as string), hi: at(hi as string) }, null)
  return { ...good, query: { ...good.query, ...changes } }
}

async function ask({ url }: Simulator, asked: ProviderRequest): Promise<ProviderAnswer> {
  const authorized = fred.authorize(asked, { FRED_API_KEY: KEY })
  // A test may ask with another key.
  const query = { ...authorized.query, ...asked.query }
  return await http(httpRequestOf(url, asked, { ...authorized, query }), {
    signal: AbortSignal.timeout(30_000),
    bodyBytesMax: fred.bodyBytesMax,
  })
}

const decode = ({ body }: ProviderAnswer) => JSON.parse(new TextDecoder().decode(body))

/** All dates of a request and the records of each page, as the platform asks for them. */
async function fetchDates(simulator: Simulator, first: ProviderRequest) {
  const dates: string[] = []
  const pages: number[] = []
  for (let asked: ProviderRequest | undefined = first; asked !== undefined && pages.length < 100; ) {
    const answer = await ask(simulator, asked)
    const verdict = bound.page(answer)
    if (verdict.kind !== 'page') throw new Error(`page ${pages.length}: ${verdict.kind}: ${verdict.detail}`)
    const sink = createRecordSink(fred.dataset)
    bound.records(answer.body, sink)
    const { rows } = sink.finish()
    for (const date of rows.columns.observation_date ?? []) dates.push(formatDate(Number(date)))
    pages.push(verdict.records)
    const query: Record<string, string> = { ...first.query }
    if (verdict.next !== null) query.observation_start = verdict.next
    asked = verdict.next === null ? undefined : { ...first, query }
  }
  return { dates, pages }
}

test('a page has the form that FRED documents, text for values and a dot for a holiday', async () => {
  const simulator = await startFred()
  const answer = await ask(simulator, request({}, ['2019-07-03', '2019-07-06']))
  expect(answer.headers['content-type']).toBe('application/json; charset=UTF-8')
  const vintage = { realtime_start: '2026-03-02', realtime_end: '2026-03-02' }
  const price = expect.stringMatching(/^\d\.\d\d$/)
  expect(decode(answer)).toEqual({
    ...vintage,
    observation_start: '2019-07-03',
    observation_end: '2019-07-05',
    units: 'lin',
    output_type: 1,
    file_type: 'json',
    order_by: 'observation_date',
    sort_order: 'asc',
    count: 3,
    offset: 0,
    limit: 100_000,
    observations: [
      { ...vintage, date: '2019-07-03', value: price },
      { ...vintage, date: '2019-07-04', value: '.' },
      { ...vintage, date: '2019-07-05', value: price },
    ],
  })
})

test.each([
  ['DGS10', 0, 8],
  ['NASDAQCOM', 500, 50_000],
])('%s is generated: 5,295 weekdays with 190 holidays, the same each time, between %d and %d', (id, low, high) => {
  const whole = (all: typeof series) => all.find((one) => one.id === id)?.between(-1e9, 1e9) ?? []
  const observations = whole(series)
  const values = observations.filter(({ value }) => value !== '.').map(({ value }) => Number(value))
  expect([observations.length, values.length]).toEqual([5_295, 5_105])
  expect([observations.at(0)?.date, observations.at(-1)?.date].map((date) => formatDate(date ?? 0))).toEqual([
    '2000-01-03',
    '2020-04-17',
  ])
  expect([Math.min(...values) > low, Math.max(...values) < high]).toEqual([true, true])
  expect(whole(loadObservationSeries())).toEqual(observations)
})

test('limit and offset cut the sorted answer, and count is of all of it', async () => {
  const simulator = await startFred()
  const { count, offset, limit, observations } = decode(
    await ask(simulator, request({ limit: '2', offset: '1', sort_order: 'desc' })),
  )
  const dates = observations.map(({ date }: { date: string }) => date)
  expect([count, offset, limit, dates]).toEqual([5, 1, 2, ['2019-07-04', '2019-07-03']])
})

test('a chain of pages is what one page gives', async () => {
  const year = request({}, ['2019-01-01', '2020-01-01'])
  const whole = await fetchDates(await startFred(), year)
  const chain = await fetchDates(await startFred({ limits: { pageRecordsGiven: 100 } }), year)
  expect([whole.pages, chain.pages]).toEqual([[261], [100, 100, 61]])
  expect(chain.dates).toEqual(whole.dates)
})

test('an observation that goes while pages are fetched takes no other with it', async () => {
  let asked = 0
  const counting: FaultPlan = ({ count }) => {
    asked = count
    return undefined
  }
  const shrinking = series.map(({ id, between }) => ({
    id,
    between: (from: number, to: number) =>
      between(from, to).filter(({ date }) => asked < 2 || formatDate(date) !== '2019-07-02'),
  }))
  const simulator = await startFred({ series: shrinking, limits: { pageRecordsGiven: 2 }, faults: counting })
  const { dates } = await fetchDates(simulator, request())
  expect(dates).toEqual(['2019-07-01', '2019-07-02', '2019-07-03', '2019-07-04', '2019-07-05'])
})

test.each<[string, Record<string, string>, string]>([
  ['a series that nobody knows', { series_id: 'GOLDAMGBD228NLBM' }, 'The series does not exist.'],
  ['no series', { series_id: '' }, 'Variable series_id is not set.'],
  ['a limit beyond the largest', { limit: '100001' }, 'Variable limit is not between 1 and 100000.'],
  ['a limit of nothing', { limit: '0' }, 'Variable limit is not between 1 and 100000.'],
  ['a date that is none', { observation_start: '2019-02-30' }, 'Variable observation_start is not a date: 2019-02-30.'],
  [
    'an end before the start',
    { observation_end: '2019-01-01' },
    'Variable observation_end is before observation_start.',
  ],
  ['a sort order that is none', { sort_order: 'up' }, 'Variable sort_order is not one of the values: asc, desc.'],
  ['a parameter that nobody knows', { seriesid: 'X' }, 'Unknown variable(s): seriesid.'],
])('%s is a 400', async (_what, changes, message) => {
  const answer = await ask(await startFred(), request(changes))
  expect([answer.status, decode(answer)]).toEqual([400, { error_code: 400, error_message: `Bad Request.  ${message}` }])
})

test.each([
  ['', 'Variable api_key is not set.'],
  ['SHORT', 'The value for variable api_key is not a 32 character alpha-numeric lower-case string.'],
  ['x'.repeat(32), 'The value for variable api_key is not registered.'],
])(
  'the key %j is a 400 with its reason, which the source takes for a matter of the credential',
  async (key, reason) => {
    const answer = await ask(await startFred({ key: KEY }), request({ api_key: key }))
    expect([answer.status, decode(answer).error_message]).toEqual([400, expect.stringContaining(reason)])
    expect(bound.page(answer).kind).toBe('auth')
  },
)

test('without file_type the answer is XML, errors too', async () => {
  const simulator = await startFred()
  const bare = (await fetch(`${simulator.url}/fred/series/observations?series_id=DGS10&api_key=${KEY}`)).text()
  const wrong = (await fetch(`${simulator.url}/fred/series/observations?series_id=DGS10`)).text()
  expect(await bare).toMatch(/^<\?xml .*\n<observations .*count="5295"/)
  expect(await wrong).toMatch(/^<\?xml .*\n<error code="400" message="Bad Request\. {2}Variable api_key is not set\./)
})

test('any other path is a 404', async () => {
  expect((await ask(await startFred(), { ...request(), path: '/fred/series' })).status).toBe(404)
})

test('any second holds two requests', async () => {
  let nowMs = Date.parse('2026-03-02T18:00:00Z')
  const simulator = await startFred({ now: () => nowMs, limits: { requestsPerSecond: 2 } })
  const statuses = []
  for (const stepMs of [0, 400, 500, 100]) {
    nowMs += stepMs
    statuses.push((await ask(simulator, request())).status)
  }
  expect(statuses).toEqual([200, 200, 429, 200])
})

test('any minute holds 120 requests, and the source says throttled of the next', async () => {
  let nowMs = Date.parse('2026-03-02T18:00:00Z')
  const simulator = await startFred({ now: () => nowMs, limits: { requestsPerMinute: 120 } })
  for (let count = 0; count < 120; count++) expect((await ask(simulator, request())).status).toBe(200)
  nowMs += 59_999
  expect(bound.page(await ask(simulator, request()))).toEqual({
    kind: 'throttled',
    retryAfterMs: null,
    detail: 'expected http 200, got 429: Too Many Requests. Exceeded Rate Limit',
  })
  nowMs++
  expect((await ask(simulator, request())).status).toBe(200)
})

test('an observation is known the day after its date, by the day in St. Louis', async () => {
  let nowMs = Date.parse('2019-07-03T05:00:00Z') - 1
  const simulator = await startFred({ now: () => nowMs })
  expect((await fetchDates(simulator, request())).dates).toEqual(['2019-07-01'])
  nowMs++
  const page = decode(await ask(simulator, request()))
  expect([page.count, page.realtime_end]).toEqual([2, '2019-07-03'])
})

test('an older vintage holds what was known then, and its rows say so', async () => {
  const vintage = { realtime_start: '2019-07-03', realtime_end: '2019-07-03' }
  const { observations } = decode(await ask(await startFred(), request(vintage)))
  expect(observations).toMatchObject([
    { ...vintage, date: '2019-07-01' },
    { ...vintage, date: '2019-07-02' },
  ])
})

test('an empty answer to a request that has observations is none that the source takes', async () => {
  const answer = await ask(await startFred({ faults: [{ kind: 'empty-page' }] }), request())
  expect(bound.page(answer)).toEqual({ kind: 'unavailable', detail: 'observations: expected 5 of 5, got 0' })
})
