import { createHash } from 'node:crypto'
import type { Timeframe } from '../../../shared/datasets/bars.ts'
import { parseInstant } from '../../../shared/instant.ts'

/** A request for bars that keeps Alpaca's documented rules. */
export type BarsQuery = {
  readonly symbols: readonly string[]
  readonly timeframe: Timeframe
  /** Seconds since 1970, both inclusive. */
  readonly startS: number
  readonly endS: number
  readonly limit: number
  readonly feed: string
  /** The last bar that was given; the page goes on after it. */
  readonly after: { readonly symbol: string; readonly atS: number } | undefined
  /** Of all parameters but the token: a token is good for the very same request only. */
  readonly binding: string
}

/** The provider's answer to a wrong parameter: HTTP 400 with this message. */
export class BadQueryError extends Error {
  override readonly name = 'BadQueryError'
}

/** Alpaca knows any number of minutes and hours, weeks and months; these are the ones that we know. */
const TIMEFRAMES: Readonly<Record<string, Timeframe>> = {
  '1Min': '1m',
  '5Min': '5m',
  '15Min': '15m',
  '1Hour': '1h',
  '1Day': '1d',
}
const FEEDS = ['iex', 'sip', 'delayed_sip', 'otc', 'boats', 'overnight']
const ADJUSTMENTS = ['raw', 'split', 'dividend', 'all']
const PARAMETERS = ['symbols', 'timeframe', 'start', 'end', 'limit', 'adjustment', 'feed', 'sort', 'asof', 'currency']
const DAY_S = 86_400

export type QueryDefaults = {
  readonly nowS: number
  readonly pageRecordsMax: number
  /** Symbols that are traded here are valid, however odd they look. */
  readonly isListed: (symbol: string) => boolean
}

export function parseBarsQuery(query: Readonly<Record<string, string>>, defaults: QueryDefaults): BarsQuery {
  const { page_token: token, ...rest } = query
  const unknown = Object.keys(rest).filter((name) => !PARAMETERS.includes(name))
  if (unknown.length > 0) throw new BadQueryError(`unexpected query parameter(s): ${unknown.join(', ')}`)
  const symbols = (rest.symbols ?? '').split(',')
  const invalid = symbols.find((symbol) => !defaults.isListed(symbol) && !/^[A-Z0-9./^:=-]{1,32}$/.test(symbol))
  if (invalid !== undefined) throw new BadQueryError(`invalid symbol: ${invalid}`)
  const timeframe = TIMEFRAMES[rest.timeframe ?? '']
  if (timeframe === undefined) throw new BadQueryError(`invalid timeframe: ${rest.timeframe ?? ''}`)
  const feed = oneOf('feed', rest.feed ?? 'iex', FEEDS)
  oneOf('adjustment', rest.adjustment ?? 'raw', ADJUSTMENTS)
  oneOf('sort', rest.sort ?? 'asc', ['asc'])
  const startS = seconds('start', rest.start, Math.floor(defaults.nowS / DAY_S) * DAY_S)
  const endS = seconds('end', rest.end, defaults.nowS)
  if (endS < startS) throw new BadQueryError('end should not be before start')
  const limit = rest.limit === undefined ? 1_000 : Number(rest.limit)
  if (!Number.isInteger(limit) || limit < 1 || limit > defaults.pageRecordsMax) {
    throw new BadQueryError(`invalid limit: ${rest.limit}, expected 1 to ${defaults.pageRecordsMax}`)
  }
  const binding = bindingOf(rest)
  const after = token === undefined ? undefined : parseToken(token, binding)
  return { symbols: [...symbols].sort(), timeframe, startS, endS, limit, feed, after, binding }
}

/** Base64 of `TSLA|D|2022-02-02T05:00:00Z|…`: Alpaca's form, and the request it belongs to. */
export function formatToken({ timeframe, binding }: BarsQuery, symbol: string, atS: number, mark = ''): string {
  const at = new Date(atS * 1000).toISOString().replace('.000Z', 'Z')
  return Buffer.from([symbol, timeframe === '1d' ? 'D' : 'M', at, binding, mark].join('|')).toString('base64')
}

function parseToken(token: string, binding: string): BarsQuery['after'] {
  const [symbol = '', , at = '', bound] = Buffer.from(token, 'base64').toString().split('|')
  const instant = parseInstant(at)
  if (instant === undefined || bound !== binding) throw new BadQueryError('invalid page token')
  return { symbol, atS: Number(instant / 1_000_000n) }
}

function bindingOf(parameters: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 12)
}

function oneOf(name: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value)) throw new BadQueryError(`invalid ${name}: ${value}`)
  return value
}

/** Of RFC 3339 or a date, with fractions of a second. */
function seconds(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  const instant = parseInstant(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  if (instant === undefined) throw new BadQueryError(`invalid ${name}: ${text}`)
  return Number(instant) / 1e6
}
