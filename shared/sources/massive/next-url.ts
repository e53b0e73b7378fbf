import { shownText } from '../answer.ts'
import { type MassiveParams, TIMEFRAME_FACTS } from './params.ts'

/** Below the base URL; `from` and `to` are dates or milliseconds since 1970. */
export function barsPath(params: Pick<MassiveParams, 'symbol' | 'timeframe'>, from: string, to: string): string {
  return `${pathBefore(params)}${from}/${to}`
}

/** A colon needs no encoding in a path, and Massive's own clients send it as it is. */
function pathBefore({ symbol, timeframe }: Pick<MassiveParams, 'symbol' | 'timeframe'>): string {
  const ticker = encodeURIComponent(symbol).replaceAll('%3A', ':')
  return `/v2/aggs/ticker/${ticker}/range/${TIMEFRAME_FACTS[timeframe].wire}/`
}

/** Both names answer. Whoever sends us elsewhere is not Massive, or no longer the one we know. */
const ORIGINS = ['https://api.massive.com', 'https://api.polygon.io']

export type NextFrom =
  | { readonly ok: true; readonly fromMs: string }
  | { readonly ok: false; readonly expected: string; readonly came: string }

/**
 * The millisecond at which the next page begins, out of `https://api.massive.com/v2/aggs/ticker/TSLA/range/1/minute/
 * 1690791480000/2023-07-31?cursor=…`. Nothing else of it is used, and nobody is asked at that address; but if any other
 * part is not what was asked for, neither can its beginning be.
 */
export function nextFromOf(nextUrl: string, params: Pick<MassiveParams, 'symbol' | 'timeframe'>): NextFrom {
  const refuse = (expected: string, came: string): NextFrom => ({ ok: false, expected, came: shownText(came) })
  if (!URL.canParse(nextUrl)) return refuse('an address', JSON.stringify(nextUrl))
  const url = new URL(nextUrl)
  if (!ORIGINS.includes(url.origin) || url.username !== '' || url.password !== '') {
    return refuse(ORIGINS.join(' or '), url.origin)
  }
  const path = url.pathname.replaceAll(/%3a/gi, ':')
  const before = pathBefore(params)
  if (!path.startsWith(before)) return refuse(`${before}…`, path)
  const [, fromMs] = /^(\d{1,15})\/[\d-]{1,15}$/.exec(path.slice(before.length)) ?? []
  return fromMs === undefined ? refuse(`${before} and two ends, the first in milliseconds`, path) : { ok: true, fromMs }
}
