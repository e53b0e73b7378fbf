import { formatDate } from '../../../shared/instant.ts'
import { BadQueryError, type BarsQuery, formatToken, parseBarsQuery } from './alpaca-query.ts'
import { type BarSeries, TIMEFRAME_SECONDS } from './bar-series.ts'
import { type ContentFault, type MutableRecord, spoiledJson, spoilRecords } from './faults.ts'
import type { Bar } from './minute-bars.ts'
import { createRateLimit } from './rate-limit.ts'
import {
  type SimulatedAnswer,
  type SimulatedRequest,
  type Simulator,
  type SimulatorOptions,
  startSimulatorServer,
} from './simulator-server.ts'

export type AlpacaLimits = {
  /** In any 60 seconds; 200 on the free plan. */
  readonly requestsPerMinute: number
  /** Largest `limit`; 10,000. */
  readonly pageRecordsMax: number
  /** Bars on one page at most, whatever `limit` asks for: Alpaca's pages may be short. */
  readonly pageRecordsGiven: number
  /** The free plan refuses the newest part of SIP history, ms; 15 minutes. */
  readonly recentSipMs: number
}

const DOCUMENTED_LIMITS: AlpacaLimits = {
  requestsPerMinute: 200,
  pageRecordsMax: 10_000,
  pageRecordsGiven: 10_000,
  recentSipMs: 900_000,
}

/** Bars that have not closed by the provider's clock are not there. */
export type AlpacaSimulatorOptions = SimulatorOptions & {
  readonly series: BarSeries | readonly BarSeries[]
  readonly limits?: Partial<AlpacaLimits>
  /** The only pair that is let in; without it any non-empty one is. */
  readonly keys?: { readonly id: string; readonly secret: string }
}

/** Alpaca's bars over HTTP: its wire format, its errors, its limits, https://docs.alpaca.markets/reference/stockbars. */
export async function startAlpacaSimulator(options: AlpacaSimulatorOptions): Promise<Simulator> {
  const now = options.now ?? Date.now
  const limits = { ...DOCUMENTED_LIMITS, ...options.limits }
  const list = 'symbol' in options.series ? [options.series] : options.series
  const market: Market = { series: new Map(list.map((series) => [series.symbol, series])), limits, now }
  const rateLimit = createRateLimit(limits.requestsPerMinute, now)
  return await startSimulatorServer({
    ...options,
    errorBody,
    respond(request, fault) {
      const { allowed, remaining, resetAtMs } = rateLimit.take()
      const headers = {
        'x-ratelimit-limit': String(limits.requestsPerMinute),
        'x-ratelimit-remaining': String(remaining),
        'x-ratelimit-reset': String(Math.ceil(resetAtMs / 1000)),
        date: new Date(now()).toUTCString(),
      }
      const answer = allowed ? respondTo(market, options.keys, request, fault) : errorAnswer(429, 'too many requests.')
      return { ...answer, headers }
    },
  })
}

type Market = {
  readonly series: ReadonlyMap<string, BarSeries>
  readonly limits: AlpacaLimits
  readonly now: () => number
}

function respondTo(
  market: Market,
  keys: AlpacaSimulatorOptions['keys'],
  { path, query, headers, count }: SimulatedRequest,
  fault: ContentFault | undefined,
): SimulatedAnswer {
  const id = headers['apca-api-key-id']
  const secret = headers['apca-api-secret-key']
  if (!id || !secret) return errorAnswer(403, 'forbidden.')
  if (keys && (id !== keys.id || secret !== keys.secret)) return errorAnswer(401, 'request is not authorized')
  if (path !== '/v2/stocks/bars') return errorAnswer(404, 'endpoint not found.')
  try {
    const nowMs = market.now()
    const { pageRecordsMax, recentSipMs } = market.limits
    const isListed = (symbol: string) => market.series.has(symbol)
    const asked = parseBarsQuery(query, { nowS: nowMs / 1000, pageRecordsMax, isListed })
    if (asked.feed === 'sip' && asked.endS * 1000 > nowMs - recentSipMs) {
      return errorAnswer(403, 'subscription does not permit querying recent SIP data')
    }
    return { status: 200, body: barsBody(market, asked, { fault, count }) }
  } catch (error) {
    if (error instanceof BadQueryError) return errorAnswer(400, error.message)
    throw error
  }
}

type Spoiling = { readonly fault: ContentFault | undefined; readonly count: number }

/** Symbol by symbol, each ascending; `limit` counts the bars of all of them, so a page may hold only the first. */
function barsBody(market: Market, query: BarsQuery, { fault, count }: Spoiling): string {
  const { after } = query
  if (fault?.kind === 'empty-page') {
    const symbol = after?.symbol ?? query.symbols[0] ?? ''
    const token = formatToken(query, symbol, after?.atS ?? query.startS - 1, `empty ${count}`)
    return JSON.stringify({ bars: {}, next_page_token: token })
  }
  const bars: Record<string, MutableRecord[]> = {}
  const wireBar = createWireBar()
  const givenMax = Math.min(query.limit, market.limits.pageRecordsGiven)
  let given = 0
  let last: { symbol: string; atS: number } | undefined
  let next: string | null = null
  for (const { symbol, bar } of barsAfter(market, query, fault?.kind === 'duplicate-row')) {
    if (given === givenMax) {
      next = last === undefined ? null : formatToken(query, last.symbol, last.atS)
      break
    }
    bars[symbol] ??= []
    bars[symbol].push(wireBar(bar))
    last = { symbol, atS: bar.atS }
    given++
  }
  if (fault?.kind === 'field') spoilRecords(Object.values(bars).flat(), fault)
  return spoiledJson({ bars, next_page_token: next })
}

function* barsAfter(market: Market, query: BarsQuery, repeatLast: boolean): Iterable<{ symbol: string; bar: Bar }> {
  const { symbols, timeframe, after, startS, endS } = query
  // A daily bar is there once its session has closed, 16 hours after midnight in New York.
  const lengthS = timeframe === '1d' ? 16 * 3_600 : TIMEFRAME_SECONDS[timeframe]
  const closedS = market.now() / 1000 - lengthS
  for (const symbol of symbols) {
    if (after && symbol < after.symbol) continue
    const fromS = after?.symbol === symbol ? after.atS + (repeatLast ? 0 : 1) : startS
    const toS = Math.min(endS, closedS)
    for (const bar of market.series.get(symbol)?.bars(timeframe, fromS, toS) ?? []) yield { symbol, bar }
  }
}

/** Bars follow each other: the text of a date is made once a day. */
function createWireBar(): (bar: Bar) => MutableRecord {
  let date = Number.NaN
  let datePrefix = ''
  return ({ atS, open, high, low, close, volume, tradeCount, vwap }) => {
    const day = Math.floor(atS / 86_400)
    if (day !== date) datePrefix = formatDate(day)
    date = day
    const minuteOfDay = (atS - day * 86_400) / 60
    const t = `${datePrefix}T${twoDigits(Math.floor(minuteOfDay / 60))}:${twoDigits(minuteOfDay % 60)}:00Z`
    return { t, o: open, h: high, l: low, c: close, v: volume, n: tradeCount, vw: vwap }
  }
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : `${value}`
}

function errorAnswer(status: number, message: string): SimulatedAnswer {
  return { status, body: errorBody(status, message) }
}

/** Alpaca's codes begin with the HTTP status. */
function errorBody(status: number, message: string): string {
  return JSON.stringify({ code: status * 100_000 + 10_000, message })
}
