/** Nobody is kept waiting longer by one header: a clock that is off by a day must not stop a source for a day. */
const WAIT_MS_MAX = 3_600_000

/** The only form of HTTP date that RFC 9110 lets a server send. Date.parse alone would take `-5` for a day in 2001. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

/**
 * Milliseconds of a `retry-after` header, seconds or an HTTP date, between 0 and one hour; undefined without one that
 * can be read. A date is measured from the answer's own `date`, so that neither side's clock need be right.
 */
export function parseRetryAfterMs(headers: Readonly<Record<string, string>>, nowMs = Date.now()): number | undefined {
  const text = headers['retry-after']?.trim()
  if (text === undefined) return undefined
  if (/^\d{1,12}(\.\d{1,9})?$/.test(text)) return clampWait(Number(text) * 1000)
  const until = parseHttpDate(text)
  return until === undefined ? undefined : clampWait(until - serverNowMs(headers, nowMs))
}

/**
 * Milliseconds until the `x-ratelimit-reset` header's instant, clamped as above. Providers send seconds since 1970
 * (Alpaca) or seconds from now: no reset lies 30 years ahead, so the size tells them apart.
 */
export function parseRateLimitResetMs(
  headers: Readonly<Record<string, string>>,
  nowMs = Date.now(),
): number | undefined {
  const text = headers['x-ratelimit-reset']?.trim()
  if (text === undefined || !/^\d{1,12}$/.test(text)) return undefined
  const value = Number(text) * 1000
  return clampWait(value < 1e12 ? value : value - serverNowMs(headers, nowMs))
}

function serverNowMs(headers: Readonly<Record<string, string>>, nowMs: number): number {
  return (headers.date === undefined ? undefined : parseHttpDate(headers.date)) ?? nowMs
}

function parseHttpDate(text: string): number | undefined {
  const ms = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

function clampWait(ms: number): number {
  return Math.min(WAIT_MS_MAX, Math.max(0, Math.round(ms)))
}
