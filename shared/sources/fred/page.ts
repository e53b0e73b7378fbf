import { formatDate, parseDate } from '../../instant.ts'
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

/**
 * `{"units":"lin","count":549,"offset":0,"limit":100000,"observations":[…],…}`, where `count` is how many observations
 * the request has in all. A page is proven whole by `count` and `limit` together: it is the last one if it holds
 * `count` observations, and full if it holds `limit`.
 */
export function observationsPage(answer: ProviderAnswer, { units }: { readonly units: string }): PageVerdict {
  const refusal = refusalOf(answer)
  if (refusal) return answer.status === 400 ? refusalOf400(refusal) : refusal
  const parsed = parseJsonObject(answer.body, answer.headers['content-type'] ?? 'no content type')
  if (!parsed.ok) return parsed.refusal
  const { observations, units: answered, count, limit, offset } = parsed.object
  if (observations === undefined && parsed.object.error_code !== undefined) return hiddenError(answer, parsed.object)
  if (!Array.isArray(observations)) return broken(`observations: expected an array, got ${typeName(observations)}`)
  if (answered !== units) return broken(`units: expected ${units}, got ${shown(answered)}`)
  if (!isCount(count)) return broken(`count: expected a whole number, got ${shown(count)}`)
  if (!isCount(limit) || limit === 0) return broken(`limit: expected a whole number above 0, got ${shown(limit)}`)
  if (offset !== 0) return broken(`offset: expected 0, got ${shown(offset)}`)
  const records = observations.length
  const expected = Math.min(count, limit)
  if (records > expected) return broken(`observations: expected ${expected} of ${count}, got ${records}`)
  // Seen at FRED under load, with HTTP 200: partial and empty answers. Another time it is whole.
  if (records < expected) {
    return { kind: 'unavailable', detail: `observations: expected ${expected} of ${count}, got ${records}` }
  }
  return records === count ? { kind: 'page', records, next: null } : pageBefore(observations)
}

/**
 * The next page begins the day after the last date. That loses nothing only where dates ascend. Observations without a
 * date are left to `records`, which rejects each of them.
 */
function pageBefore(observations: readonly unknown[]): PageVerdict {
  let last = ''
  for (const observation of observations) {
    const date = dateOf(observation)
    if (date === undefined) continue
    if (date <= last) return broken(`observations: expected dates that ascend, got ${date} after ${last}`)
    last = date
  }
  const final = dateOf(observations.at(-1))
  const day = final === undefined || final === DATE_MAX ? undefined : parseDate(final)
  if (day === undefined) return broken(`observations: expected a date at the end of the page, got ${shown(final)}`)
  return { kind: 'page', records: observations.length, next: formatDate(day + 1) }
}

const DATE_MAX = '9999-12-31'

function dateOf(observation: unknown): string | undefined {
  const date = isJsonObject(observation) ? observation.date : undefined
  return typeof date === 'string' && /^\d{4}-\d\d-\d\d$/.test(date) ? date : undefined
}

/**
 * FRED has no 401: HTTP 400 says everything, in words. A key that is not registered stops the stream until a person
 * looks at it. Now and then FRED says so of a good key too. Trying again for a day instead would end in a hole; a stream
 * that is stopped loses nothing, asks nobody with a key that is refused, and is alerted at once.
 */
function refusalOf400(refusal: Refusal): Refusal {
  return refusal.kind === 'refused' && /\bapi_key\b/.test(refusal.detail)
    ? { kind: 'auth', detail: refusal.detail }
    : refusal
}

/** `{"error_code":429,"error_message":"…"}` with HTTP 200. */
function hiddenError({ status, headers }: ProviderAnswer, { error_code: code, error_message: message }: JsonObject) {
  const said = typeof message === 'string' ? `: ${shownText(message)}` : ''
  const detail = `expected observations, got http ${status} with error_code ${shown(code)}${said}`
  const meant = typeof code === 'number' ? code : 0
  const refusal = refusalOfStatus(meant, headers, detail)
  return meant === 400 ? refusalOf400(refusal) : refusal
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function broken(detail: string): Refusal {
  return { kind: 'broken', detail }
}
