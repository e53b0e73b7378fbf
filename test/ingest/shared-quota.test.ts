import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import type { FaultPlan } from '../../jobs/local/providers/faults.ts'
import { startFredSimulator } from '../../jobs/local/providers/fred.ts'
import { loadObservationSeries } from '../../jobs/local/providers/observation-series.ts'
import type { Simulator } from '../../jobs/local/providers/simulator-server.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import type { Worked } from '../../shared/ingest/work.ts'
import { formatDate } from '../../shared/instant.ts'
import type { Platform } from '../../shared/platform.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { Budget } from '../../shared/sources/contract.ts'
import { fred } from '../../shared/sources/fred/fred.ts'
import { type Row, useGround } from './ground.ts'
import { alpacaAt, isLanded, landAt, runLander, servicesOf, startBackfill } from './shared-quota-instances.ts'

const FIRST_DAY = Date.UTC(2001, 0, 1) / 86_400_000
const WINDOW_DAYS = 10
const MINUTE_MS = 60_000
/** Alpaca's minute in two seconds, and a budget as far below its limit as the real one. */
const FASTER = 30
const QUICK_ALPACA: Budget = { key: 'alpaca', capacity: 10, refillPerS: 12 }
const QUICK_LIMIT = 45

const FRED_STREAM: Row = {
  source: 'fred',
  dataset: 'observations',
  timeframe: null,
  params: { series_id: 'DGS10', units: 'lin' },
}
const ALPACA_STREAM: Row = { params: { symbol: 'SPX', timeframe: '1d', feed: 'iex', adjustment: 'raw' } }

describe('one quota of several instances', () => {
  const ground = useGround()
  beforeAll(async () => {
    await ground.platform.raw.ensure()
    await ground.platform.queues.ensure('curate')
  })
  beforeEach(() => ground.clear())

  /** Planned windows of a stream of their own, one page each. */
  const windows = async (count: number, { lane = 'live', stream = ALPACA_STREAM }: Windows = {}) => {
    const streamId = await ground.stream(stream)
    const lo = (index: number) => formatDate(FIRST_DAY + index * WINDOW_DAYS)
    const planned: string[] = []
    for (let index = 0; index < count; index++) {
      planned.push(await ground.ingest(streamId, { lane, lo: lo(index), hi: lo(index + 1) }))
    }
    return planned
  }
  const provider = async (start: Promise<Simulator>) => {
    const simulator = await start
    onTestFinished(() => simulator.close())
    return simulator
  }
  const alpacaWith = (faults: FaultPlan) => provider(startAlpacaSimulator({ series: loadSp500(), faults }))
  /** One more instance under the quota `budget` of alpaca. */
  const instance = ({ url }: Simulator, { budget = alpaca.budget, env = {} }: Instance = {}): Platform => ({
    ...ground.openWorker({ ...alpacaAt(url), ...env }),
    sources: new Map([['alpaca', { ...alpaca, budget }]]),
  })
  const budgetRow = async () => {
    const [row] = await ground.query<{ tokens: number; filledAtS: number }>(
      'select tokens, extract(epoch from refilled_at)::float8 as "filledAtS" from ingest.rate_budget',
    )
    return row ?? { tokens: Number.NaN, filledAtS: Number.NaN }
  }
  /** What was to be waited for is over. */
  const passTime = async () => {
    await ground.query('update ingest.rate_budget set blocked_until = now(), tokens = capacity')
    await ground.query('update provenance.source_ingest set next_attempt_at = null')
  }

  test.each<QuotaCase>([
    {
      budget: QUICK_ALPACA,
      requestsMax: QUICK_LIMIT,
      windowMs: MINUTE_MS,
      count: 30,
      stream: ALPACA_STREAM,
      start: () =>
        startAlpacaSimulator({
          series: loadSp500(),
          now: fasterClock(),
          limits: { requestsPerMinute: QUICK_LIMIT },
        }),
      env: alpacaAt,
    },
    {
      budget: fred.budget,
      requestsMax: 2,
      windowMs: 1_000,
      count: 3,
      stream: FRED_STREAM,
      start: () => startFredSimulator({ series: loadObservationSeries() }),
      env: (url) => ({ FRED_BASE_URL: url, FRED_API_KEY: 'abcdef0123456789abcdef0123456789' }),
    },
  ])(
    'two processes under the quota of $budget.key: never more than $requestsMax requests in any $windowMs ms, and none refused',
    async ({ budget, requestsMax, windowMs, count, stream, start, env }) => {
      const simulator = await provider(start())
      const processes = await Promise.all(
        [1, 2].map(async () => {
          const sourceIngestIds = await windows(count, { stream })
          const job = { sourceId: budget.key, budget, sourceIngestIds, atOnce: 8 }
          return () => runLander(job, { ...servicesOf(ground.platform), ...env(simulator.url) })
        }),
      )
      const reports = await Promise.all(processes.map((run) => run()))
      expect(simulator.requests.map(({ status }) => status)).toEqual(Array(2 * count).fill(200))
      expect(mostIn(windowMs, simulator)).toBeLessThanOrEqual(requestsMax)
      for (const { worked, waits } of reports) {
        expect(worked.filter(isLanded)).toHaveLength(count)
        // Both would have asked for more than there was.
        expect(waits).toBeGreaterThan(0)
      }
    },
  )

  test('Retry-After stops every instance, also one that had a token before it: nobody asks until it is over', async () => {
    const simulator = await alpacaWith([undefined, { kind: 'throttle', retryAfter: '600' }])
    const [told, other] = [instance(simulator), instance(simulator)]
    const [first = '', second = '', third = '', fourth = ''] = await windows(4)
    expect(await landAt(other, first)).toBe('landed')
    expect(await landAt(told, second)).toBe('given-back')
    expect(await Promise.all([landAt(other, third), landAt(told, fourth)])).toEqual(['given-back', 'given-back'])
    expect(simulator.requests).toHaveLength(2)
    await passTime()
    const later = [landAt(told, second), landAt(other, third), landAt(other, fourth)]
    expect((await Promise.all(later)).filter(isLanded)).toHaveLength(3)
  })

  test('to be throttled is no failed attempt, however often: nothing comes nearer to quarantine', async () => {
    const throttle = { kind: 'throttle', retryAfter: '600' } as const
    const simulator = await alpacaWith([throttle, throttle])
    const strict = instance(simulator, {
      env: { TRIBUTARY_QUARANTINE_ATTEMPTS: '1', TRIBUTARY_QUARANTINE_SECONDS: '0' },
    })
    const [id = ''] = await windows(1)
    const throttled = { state: 'planned', attempts: 0, attempting_since: null, error_class: 'ThrottledError' }
    for (let round = 1; round <= 2; round++) {
      expect(await landAt(strict, id)).toBe('given-back')
      expect(await ground.ingestRow(id)).toMatchObject({ ...throttled, epoch: round })
      await passTime()
    }
    await ground.query('update ingest.rate_budget set tokens = -1000')
    expect(await landAt(strict, id)).toBe('given-back')
    expect(await ground.ingestRow(id)).toMatchObject({ ...throttled, epoch: 3 })
    await passTime()
    expect(await landAt(strict, id)).toBe('landed')
    expect(simulator.requests.map(({ status }) => status)).toEqual([429, 429, 200])
  })

  test('a backfill that takes all it may does not keep live waiting: the half that it leaves is there at once', async () => {
    const simulator = await alpacaWith([])
    const backfill = startBackfill([instance(simulator), instance(simulator)], await windows(60, { lane: 'backfill' }))
    onTestFinished(() => backfill.stop())
    while ((await budgetRow()).tokens >= 11 || simulator.requests.length < 10) await sleep(10)
    const live = instance(simulator)
    const reserve = await windows(alpaca.budget.capacity / 2)
    const landed: Worked[] = []
    for (const id of reserve) landed.push(await landAt(live, id, 0))
    expect(landed.filter(isLanded)).toHaveLength(reserve.length)
    expect(backfill.isWorking()).toBe(true)
    await backfill.stop()
  })

  test('a live lane that is idle does not slow a backfill: it gets what the bucket gains', async () => {
    const budget: Budget = { key: 'alpaca', capacity: 20, refillPerS: 10 }
    const simulator = await alpacaWith([])
    await ground.query(
      `insert into ingest.rate_budget (budget_key, capacity, refill_per_s, tokens) values ('alpaca', 20, 10, 10)`,
    )
    const { filledAtS } = await budgetRow()
    const ids = await windows(20, { lane: 'backfill' })
    await startBackfill([instance(simulator, { budget }), instance(simulator, { budget })], ids).done
    const after = await budgetRow()
    // On the database's clock, until the last token was given.
    const gained = (after.filledAtS - filledAtS) * budget.refillPerS
    const got = simulator.requests.length + after.tokens - 10
    expect(got / gained).toBeGreaterThan(0.9)
    expect(got / gained).toBeLessThan(1.001)
  })
})

type Windows = { readonly lane?: string; readonly stream?: Row }
type Instance = { readonly budget?: Budget; readonly env?: Readonly<Record<string, string>> }

type QuotaCase = {
  readonly budget: Budget
  /** What the provider allows in any `windowMs` of its clock. */
  readonly requestsMax: number
  readonly windowMs: number
  /** Windows of each process. */
  readonly count: number
  readonly stream: Row
  readonly start: () => Promise<Simulator>
  readonly env: (url: string) => Readonly<Record<string, string>>
}

function fasterClock(): () => number {
  const startMs = Date.now()
  return () => startMs + (Date.now() - startMs) * FASTER
}

/** The most requests that the provider saw in any so many ms of its own clock. */
function mostIn(windowMs: number, { requests }: Simulator): number {
  const counts = requests.map(({ atMs: endMs }) =>
    requests.filter(({ atMs }) => atMs > endMs - windowMs && atMs <= endMs),
  )
  return Math.max(...counts.map(({ length }) => length))
}
