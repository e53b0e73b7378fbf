import { createHash } from 'node:crypto'
import { aggregate, type BarSeries, TIMEFRAME_SECONDS } from './bar-series.ts'
import { type ContentFault, type MutableRecord, spoiledJson, spoilRecords } from './faults.ts'
import {
  BadRangeError,
  type BarsQuery,
  DAY_MS,
  dateAt,
  dayStartMs,
  formatCursor,
  type Market,
  marketOf,
  parseBarsQuery,
  WIRE_TIMEFRAMES,
} from './massive-query.ts'
import type { Bar } from './minute-bars.ts'
import { createRateLimit } from './rate-limit.ts'
import {
  type SimulatedAnswer,
  type SimulatedRequest,
  type Simulator,
  type SimulatorOptions,
  startSimulatorServer,
} from './simulator-server.ts'

export type MassiveLimits = {
  /** In any 60 seconds; 5 on the free plan. */
  readonly requestsPerMinute: number
  /** Largest `limit`: minutes, of daily bars days, that are read for one page; 50,000. */
  readonly baseBarsMax: number
  /** Read for one page at most, whatever `limit` asks for. */
  readonly baseBarsGiven: number
}

const DOCUMENTED_LIMITS: MassiveLimits = { requestsPerMinute: 5, baseBarsMax: 50_000, baseBarsGiven: 50_000 }

/** Today by the provider's clock in New York is refused, as on the free plan. */
export type MassiveSimulatorOptions = SimulatorOptions & {
  /** `I:…` is an index, `C:…` a currency or a metal, any other a stock. */
  readonly series: readonly BarSeries[]
  readonly limits?: Partial<MassiveLimits>
  /** `DELAYED` unless it says otherwise, as on every plan without real-time data. */
  readonly status?: 'OK' | 'DELAYED'
  /** The only key that is let in; without it any non-empty one is. */
  readonly key?: string
}

/** Massive's bars over HTTP, https://massive.com/docs/rest/stocks/aggregates/custom-bars. */
export async function startMassiveSimulator(options: MassiveSimulatorOptions): Promise<Simulator> {
  const now = options.now ?? Date.now
  const archive: Archive = {
    series: new Map(options.series.map((series) => [series.symbol, series])),
    limits: { ...DOCUMENTED_LIMITS, ...options.limits },
    status: options.status ?? 'DELAYED',
    key: options.key,
    now,
  }
  const rateLimit = createRateLimit(archive.limits.requestsPerMinute, now)
  return await startSimulatorServer({
    ...options,
    errorBody,
    respond: (request, fault) =>
      rateLimit.take().allowed
        ? respondTo(archive, request, fault)
        : errorAnswer(
            429,
            "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue.",
          ),
  })
}

type Archive = {
  readonly series: ReadonlyMap<string, BarSeries>
  readonly limits: MassiveLimits
  readonly status: string
  readonly key: string | undefined
  readonly now: () => number
}

function respondTo(archive: Archive, request: SimulatedRequest, fault: ContentFault | undefined): SimulatedAnswer {
  const [, key] = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '') ?? []
  if (key === undefined) return errorAnswer(401, 'API Key was not provided')
  if (archive.key !== undefined && key !== archive.key) return errorAnswer(401, 'Unknown API Key')
  try {
    const asked = parseBarsQuery(request.path, request.query, archive.limits)
    if (asked === undefined) return errorAnswer(404, 'page not found')
    // By dates: today is New York's, the end's is its market's own.
    if (dateAt(marketOf(asked.symbol), asked.toMs) >= dateAt('stocks', archive.now())) {
      return errorAnswer(403, "Attempted to request today's data before end of day. Please upgrade your plan")
    }
    return { status: 200, body: barsBody(archive, asked, { request, fault }) }
  } catch (error) {
    if (error instanceof BadRangeError) return errorAnswer(400, error.message)
    throw error
  }
}

type Asking = { readonly request: SimulatedRequest; readonly fault: ContentFault | undefined }

function barsBody(archive: Archive, asked: BarsQuery, { request, fault }: Asking): string {
  const market = marketOf(asked.symbol)
  const given = fault?.kind === 'empty-page' ? emptyPage(asked, request.count) : givenBars(archive, asked)
  const bars = fault?.kind === 'duplicate-row' ? [...barBefore(archive, asked), ...given.bars] : given.bars
  const results = bars.map((bar) => wireBar(market, bar))
  if (fault?.kind === 'field') spoilRecords(results, fault)
  // Of an index Massive says neither; what is empty is left out.
  const ofOthers = market === 'indices' ? {} : { resultsCount: results.length, adjusted: asked.adjusted }
  return spoiledJson({
    ticker: asked.symbol,
    queryCount: given.baseCount,
    ...ofOthers,
    ...(results.length === 0 ? {} : { results }),
    status: archive.status,
    request_id: requestIdOf(`${request.path} ${request.count}`),
    count: results.length,
    ...(given.nextFromMs === null ? {} : { next_url: nextUrl(asked, given.nextFromMs) }),
  })
}

type GivenBars = { readonly bars: readonly Bar[]; readonly baseCount: number; readonly nextFromMs: number | null }

/** The limit counts what bars are made of: one that is not whole by then is left to the next page. */
function givenBars({ series, limits }: Archive, asked: BarsQuery): GivenBars {
  const baseMax = Math.min(asked.limit, limits.baseBarsGiven)
  const base: Bar[] = []
  let following: Bar | undefined
  for (const bar of baseBars(series.get(asked.symbol), asked)) {
    if (base.length === baseMax) {
      following = bar
      break
    }
    base.push(bar)
  }
  const baseCount = base.length
  const bars = rolledUp(base, asked)
  const last = bars.at(-1)
  if (following === undefined || last === undefined) return { bars, baseCount, nextFromMs: null }
  const lastEndsS = last.atS + TIMEFRAME_SECONDS[asked.timeframe]
  if (following.atS >= lastEndsS) return { bars, baseCount, nextFromMs: lastEndsS * 1_000 }
  return { bars: bars.slice(0, -1), baseCount, nextFromMs: last.atS * 1_000 }
}

/** Minutes, or days with the instant at which the market's own begin. */
function* baseBars(series: BarSeries | undefined, { symbol, timeframe, fromMs, toMs }: BarsQuery): Iterable<Bar> {
  if (series === undefined) return
  if (timeframe !== '1d') {
    yield* series.bars('1m', fromMs / 1_000, toMs / 1_000)
    return
  }
  const market = marketOf(symbol)
  // Wherever a day begins, its bar has its date in UTC.
  const [firstDate, lastDate] = [dateAt(market, fromMs), dateAt(market, toMs)]
  for (const bar of series.bars('1d', (firstDate * DAY_MS) / 1_000, ((lastDate + 1) * DAY_MS - 1) / 1_000)) {
    yield { ...bar, atS: dayStartMs(market, Math.floor((bar.atS * 1_000) / DAY_MS)) / 1_000 }
  }
}

function rolledUp(base: readonly Bar[], { timeframe }: BarsQuery): readonly Bar[] {
  return timeframe === '1m' || timeframe === '1d' ? base : aggregate(base, TIMEFRAME_SECONDS[timeframe])
}

const SEARCHED_DAYS = 10

/** The last bar before the range, if there is one: what the page before ended with. */
function barBefore({ series }: Archive, asked: BarsQuery): readonly Bar[] {
  const before = { ...asked, fromMs: asked.fromMs - SEARCHED_DAYS * DAY_MS, toMs: asked.fromMs - 1 }
  return rolledUp([...baseBars(series.get(asked.symbol), before)], asked).slice(-1)
}

/** Leads to the same bars: a millisecond later is widened to the same beginning. */
function emptyPage({ fromMs }: BarsQuery, count: number): GivenBars {
  return { bars: [], baseCount: 0, nextFromMs: fromMs + count }
}

/** Quotes of a currency are what is counted and what is its volume; an index has prices only. */
function wireBar(market: Market, { atS, open, high, low, close, volume, tradeCount, vwap }: Bar): MutableRecord {
  const t = atS * 1_000
  if (market === 'indices') return { o: open, c: close, h: high, l: low, t }
  const v = market === 'currencies' ? tradeCount : volume
  return { v, vw: vwap, o: open, c: close, h: high, l: low, t, n: tradeCount }
}

/** The public address, wherever the simulator listens; without the key. */
function nextUrl(asked: BarsQuery, fromMs: number): string {
  const [wire] = Object.entries(WIRE_TIMEFRAMES).find(([, timeframe]) => timeframe === asked.timeframe) ?? []
  const path = `/v2/aggs/ticker/${asked.symbol}/range/${wire}/${fromMs}/${asked.to}`
  return `https://api.massive.com${path}?cursor=${formatCursor(asked)}`
}

function errorAnswer(status: number, message: string): SimulatedAnswer {
  return { status, body: errorBody(status, message) }
}

/** What a plan does not give has a `message`, everything else an `error`. */
function errorBody(status: number, message: string): string {
  const request_id = requestIdOf(message)
  return JSON.stringify(
    status === 403
      ? { status: 'NOT_AUTHORIZED', request_id, message }
      : { status: 'ERROR', request_id, error: message },
  )
}

function requestIdOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
