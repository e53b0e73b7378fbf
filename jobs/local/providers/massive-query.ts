import { z } from 'zod'
import type { Timeframe } from '../../../shared/datasets/bars.ts'
import { parseDate } from '../../../shared/instant.ts'
import { TIMEFRAME_SECONDS } from './bar-series.ts'
import { newYorkSeconds } from './new-york.ts'

/** A request for bars that keeps Massive's documented rules. */
export type BarsQuery = {
  readonly symbol: string
  readonly timeframe: Timeframe
  /** Milliseconds since 1970, both inclusive and widened to whole bars. */
  readonly fromMs: number
  readonly toMs: number
  /** The end as it was asked for: `next_url` repeats it. */
  readonly to: string
  readonly adjusted: boolean
  /** Minutes, of daily bars days. */
  readonly limit: number
}

/** The provider's answer to a wrong parameter: HTTP 400 with this message. */
export class BadRangeError extends Error {
  override readonly name = 'BadRangeError'
}

export type Market = 'stocks' | 'indices' | 'currencies'

export function marketOf(symbol: string): Market {
  return symbol.startsWith('I:') ? 'indices' : symbol.startsWith('C:') ? 'currencies' : 'stocks'
}

/** Massive knows any number of minutes and hours, and spans up to a year; these are the ones that we know. */
export const WIRE_TIMEFRAMES: Readonly<Record<string, Timeframe>> = {
  '1/minute': '1m',
  '5/minute': '5m',
  '15/minute': '15m',
  '1/hour': '1h',
  '1/day': '1d',
}
export const DAY_MS = 86_400_000

/** When a day begins: at midnight in New York, of indices in Chicago, an hour later, of currencies at 00:00Z. */
export function dayStartMs(market: Market, date: number): number {
  if (market === 'currencies') return date * DAY_MS
  return newYorkSeconds(date, market === 'indices' ? 60 : 0) * 1_000
}

/** The day that an instant lies in. */
export function dateAt(market: Market, atMs: number): number {
  const date = Math.floor(atMs / DAY_MS)
  return dayStartMs(market, date) > atMs ? date - 1 : date
}

/** `limit=50000&sort=asc`, base64url without padding. Massive's cursor says no more: not whether bars are adjusted. */
export function formatCursor({ limit }: BarsQuery): string {
  return Buffer.from(new URLSearchParams({ limit: String(limit), sort: 'asc' }).toString()).toString('base64url')
}

// Stricter than Massive, which passes over parameters that it does not know: a source's misspelling fails here. The key
// is one of them: it belongs into a header.
const query = z.strictObject({
  adjusted: z.enum(['true', 'false']).default('true'),
  sort: z.literal('asc').default('asc'),
  limit: z
    .string()
    .regex(/^\d{1,6}$/)
    .transform(Number)
    .default(5_000),
  cursor: z.string().optional(),
})

const PATH = /^\/v2\/aggs\/ticker\/([^/]+)\/range\/(\d+\/[a-z]+)\/([^/]+)\/([^/]+)$/

/** Undefined for another endpoint. */
export function parseBarsQuery(
  path: string,
  parameters: Readonly<Record<string, string>>,
  { baseBarsMax }: { readonly baseBarsMax: number },
): BarsQuery | undefined {
  const [, ticker, wire = '', from = '', to = ''] = PATH.exec(path) ?? []
  if (ticker === undefined) return undefined
  const symbol = decodeURIComponent(ticker)
  const timeframe = WIRE_TIMEFRAMES[wire]
  if (timeframe === undefined) throw new BadRangeError(`The simulator has no bars of ${wire}`)
  const { cursor = '', ...own } = parameters
  const asked = query.safeParse({ ...own, ...Object.fromEntries(new URLSearchParams(decodeCursor(cursor))) })
  if (!asked.success) throw new BadRangeError(z.prettifyError(asked.error))
  const { adjusted, limit } = asked.data
  if (limit < 1 || limit > baseBarsMax) throw new BadRangeError(`'limit' must be between 1 and ${baseBarsMax}`)
  const widened = widen(marketOf(symbol), timeframe, end('from', from), end('to', to))
  if (widened.toMs < widened.fromMs)
    throw new BadRangeError(`The parameter 'to' cannot be a time that occurs before 'from'`)
  return { symbol, timeframe, ...widened, to, adjusted: adjusted === 'true', limit }
}

const decodeCursor = (cursor: string) => Buffer.from(cursor, 'base64url').toString()

/** A date, in days since 1970, or an instant. */
type End = { readonly date: number } | { readonly ms: number }

function end(name: string, text: string): End {
  if (/^\d{1,15}$/.test(text)) return { ms: Number(text) }
  const date = parseDate(text)
  if (date !== undefined) return { date }
  throw new BadRangeError(`Could not parse the time parameter: '${name}'. Use YYYY-MM-DD or Unix MS Timestamps`)
}

function widen(market: Market, timeframe: Timeframe, from: End, to: End): { fromMs: number; toMs: number } {
  const firstMs = 'date' in from ? dayStartMs(market, from.date) : from.ms
  const lastMs = 'date' in to ? dayStartMs(market, to.date + 1) - 1 : to.ms
  if (timeframe === '1d') {
    const lastDate = dateAt(market, lastMs)
    return { fromMs: dayStartMs(market, dateAt(market, firstMs)), toMs: dayStartMs(market, lastDate + 1) - 1 }
  }
  const stepMs = TIMEFRAME_SECONDS[timeframe] * 1_000
  return { fromMs: Math.floor(firstMs / stepMs) * stepMs, toMs: (Math.floor(lastMs / stepMs) + 1) * stepMs - 1 }
}
