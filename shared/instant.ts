/** A UTC instant in microseconds since 1970-01-01T00:00:00Z, the resolution of PostgreSQL and of curated files. */
export type Instant = bigint

export const MICROS_PER_MS = 1_000n
export const MICROS_PER_SECOND = 1_000_000n
export const MICROS_PER_DAY = 86_400_000_000n

/** 0000-01-01T00:00:00Z */
const INSTANT_MIN = -719_528n * MICROS_PER_DAY
/** 9999-12-31T23:59:59.999999Z */
const INSTANT_MAX = 2_932_897n * MICROS_PER_DAY - 1n

// Fixed-width RFC 3339: four-digit years, upper-case T, up to nine fractional digits, Z or a numeric offset.
const ISO = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)$/

/**
 * Parses RFC 3339, and PostgreSQL's ISO output (`2026-11-21 10:50:27.123456+00`). Digits below a microsecond are cut.
 * Returns undefined for anything else, dates that do not exist included.
 */
export function parseInstant(text: string): Instant | undefined {
  const match = ISO.exec(text)
  if (!match) return undefined
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', fraction = '', zone = ''] = match
  const date = dayOf(Number(year), Number(month), Number(day))
  if (date === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const offset = offsetSeconds(zone)
  if (offset === undefined) return undefined
  const seconds = date * 86_400 + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offset
  const micros = fraction === '' ? 0n : BigInt(fraction.slice(0, 6).padEnd(6, '0'))
  const instant = BigInt(seconds) * MICROS_PER_SECOND + micros
  // An offset may lead out of the years that can be written.
  return instant >= INSTANT_MIN && instant <= INSTANT_MAX ? instant : undefined
}

function offsetSeconds(zone: string): number | undefined {
  if (zone === 'Z') return 0
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0')
  const hours = Number(digits.slice(0, 2))
  const minutes = Number(digits.slice(2))
  if (hours > 23 || minutes > 59) return undefined
  const seconds = hours * 3600 + minutes * 60
  return zone.startsWith('-') ? -seconds : seconds
}

/** Days since 1970-01-01 of a calendar date `YYYY-MM-DD`, or undefined where there is no such date. */
export function parseDate(text: string): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text)
  return match ? dayOf(Number(match[1]), Number(match[2]), Number(match[3])) : undefined
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/**
 * Days since 1970-01-01, or undefined where there is no such date. Arithmetic, because a Date and its text took a third of
 * the time of reading rows. http://howardhinnant.github.io/date_algorithms.html#days_from_civil
 */
function dayOf(year: number, month: number, day: number): number | undefined {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const last = month === 2 && leap ? 29 : (MONTH_DAYS[month - 1] ?? 0)
  if (day < 1 || day > last) return undefined
  const shifted = month > 2 ? year : year - 1
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

/** `YYYY-MM-DD` of days since 1970-01-01. Throws outside the years 0000 to 9999. */
export function formatDate(days: number): string {
  return isoText(days * 86_400_000).slice(0, 10)
}

/** `2026-11-21T10:50:27Z`, with six fractional digits only where they are not zero. Throws outside the years 0000 to 9999. */
export function formatInstant(instant: Instant): string {
  const micros = modulo(instant, MICROS_PER_SECOND)
  const text = isoText(Number((instant - micros) / MICROS_PER_MS)).slice(0, 19)
  return micros === 0n ? `${text}Z` : `${text}.${String(micros).padStart(6, '0')}Z`
}

/** JavaScript spells other years with a sign and six digits, which nobody else reads. */
function isoText(ms: number): string {
  const instant = BigInt(ms) * MICROS_PER_MS
  if (instant >= INSTANT_MIN && instant <= INSTANT_MAX) return new Date(ms).toISOString()
  throw new RangeError(`instant: expected a year from 0000 to 9999, got ${ms} ms since 1970`)
}

/** `20261121T105027Z`, for names of raw pages. */
export function formatCompact(instant: Instant): string {
  return formatInstant(floorTo(instant, MICROS_PER_SECOND)).replaceAll(/[-:]/g, '')
}

/** The greatest multiple of `step` that is not after `instant`. */
export function floorTo(instant: Instant, step: bigint): Instant {
  return instant - modulo(instant, step)
}

export function instantOfDate(days: number): Instant {
  return BigInt(days) * MICROS_PER_DAY
}

function modulo(value: bigint, step: bigint): bigint {
  const rest = value % step
  return rest < 0n ? rest + step : rest
}

/** What a person writes: a calendar date, its midnight in UTC, or an RFC 3339 instant. */
export function parseDateOrInstant(text: string): Instant | undefined {
  const days = parseDate(text)
  return days === undefined ? parseInstant(text) : instantOfDate(days)
}

/** By the clock of this machine, to the millisecond. */
export function systemNow(): Instant {
  return BigInt(Date.now()) * MICROS_PER_MS
}
