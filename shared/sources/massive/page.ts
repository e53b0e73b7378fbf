import {
  isJsonObject,
  type JsonObject,
  parseJsonObject,
  type Refusal,
  refusalOf,
  refusalOfStatus,
  shown,
  shownText,
  typeName,
} from '../answer.ts'
import type { PageVerdict, ProviderAnswer } from '../contract.ts'
import { nextFromOf } from './next-url.ts'
import { type MassiveParams, marketOf } from './params.ts'

/** The largest `limit`: minutes, of daily bars days, that Massive reads for one page. */
export const BASE_BARS_MAX = 50_000

/** `DELAYED` says which plan we have: the bars are good, and the newest ones are not among them. */
const GOOD_STATUSES: readonly unknown[] = ['OK', 'DELAYED']

/**
 * `{"status":"OK","ticker":"TSLA","adjusted":false,"queryCount":…,"resultsCount":…,"results":[…],"next_url":"…"}`.
 * Massive leaves out what is empty: without bars there are no `results`, without another page no `next_url`. So the
 * counts must say that nothing is missing: `resultsCount` (of indices `count`) is how many bars were sent, `queryCount`
 * how many minutes or days were read for them. An answer that read as many as it may and names no next page has lost it.
 */
export function barsPage(answer: ProviderAnswer, params: MassiveParams): PageVerdict {
  const refusal = refusalOf(answer)
  if (refusal) return refusal
  const parsed = parseJsonObject(answer.body, answer.headers['content-type'] ?? 'no content type')
  if (!parsed.ok) return parsed.refusal
  const page = parsed.object
  if (!GOOD_STATUSES.includes(page.status)) return hiddenError(answer, page)
  if (page.ticker !== params.symbol) return broken(`ticker: expected ${params.symbol}, got ${shown(page.ticker)}`)
  const adjusted = params.adjustment === 'split'
  // Another adjustment would be other prices under the same name.
  if (marketOf(params.symbol) === 'stock' && page.adjusted !== adjusted) {
    return broken(`adjusted: expected ${adjusted}, got ${shown(page.adjusted)}`)
  }
  const results = page.results ?? []
  if (!Array.isArray(results)) return broken(`results: expected an array, got ${typeName(results)}`)
  const count = page.resultsCount ?? page.count
  if (!isCount(count)) return broken(`resultsCount: expected a whole number, got ${shown(count)}`)
  if (results.length > count) return broken(`results: expected ${count}, got ${results.length}`)
  // As at other providers under load: another time it is whole.
  if (results.length < count) {
    return { kind: 'unavailable', detail: `results: expected ${count}, got ${results.length}` }
  }
  return pageBefore(page, results, params)
}

/** Where the next page begins. A bar without a time is left to `records`, which rejects it. */
function pageBefore(page: JsonObject, results: readonly unknown[], params: MassiveParams): PageVerdict {
  const { next_url: nextUrl, queryCount } = page
  const records = results.length
  if (nextUrl === undefined || nextUrl === null) {
    if (!isCount(queryCount) || queryCount < BASE_BARS_MAX) return { kind: 'page', records, next: null }
    return broken(`next_url: expected one where ${queryCount} bars were read, got none`)
  }
  if (typeof nextUrl !== 'string') return broken(`next_url: expected an address, got ${typeName(nextUrl)}`)
  const next = nextFromOf(nextUrl, params)
  if (!next.ok) return broken(`next_url: expected ${next.expected}, got ${next.came}`)
  // Bars ascend: what begins no later than the last of them would give it again, and again.
  const lastMs = timeOf(results.findLast((bar) => timeOf(bar) !== undefined))
  if (lastMs !== undefined && Number(next.fromMs) <= lastMs) {
    return broken(`next_url: expected a beginning after the last bar, ${lastMs}, got ${next.fromMs}`)
  }
  return { kind: 'page', records, next: next.fromMs }
}

function timeOf(bar: unknown): number | undefined {
  return isJsonObject(bar) && typeof bar.t === 'number' ? bar.t : undefined
}

/** `{"status":"ERROR","error":"…"}` or `{"status":"NOT_AUTHORIZED","message":"…"}` with HTTP 200. */
function hiddenError({ status: httpStatus, headers }: ProviderAnswer, page: JsonObject): PageVerdict {
  const { status, error, message } = page
  if (typeof status !== 'string') return broken(`status: expected OK or DELAYED, got ${shown(status)}`)
  const text = [error, message].find((value) => typeof value === 'string')
  const said = typeof text === 'string' ? text : ''
  const detail = `expected bars, got http ${httpStatus} with ${shownText(status)}${said === '' ? '' : `: ${shownText(said)}`}`
  return refusalOfStatus(meantBy(status, said), headers, detail)
}

/** The HTTP status that should have come. What says ERROR for an unknown reason may be over the next time; 0 is broken. */
function meantBy(status: string, said: string): number {
  if (status === 'NOT_AUTHORIZED' || /\bapi key\b/i.test(said)) return 403
  if (status === 'NOT_FOUND') return 404
  if (status !== 'ERROR') return 0
  return /\brequests per minute\b/i.test(said) ? 429 : 500
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function broken(detail: string): Refusal {
  return { kind: 'broken', detail }
}
