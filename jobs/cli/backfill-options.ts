import { parseDuration } from '../../shared/duration.ts'
import { ConfigError } from '../../shared/errors.ts'
import { type Instant, parseDateOrInstant } from '../../shared/instant.ts'

/** `2016-01-04` (its midnight in UTC) or an RFC 3339 instant; null where the option was not given. */
export function instantOption(name: string, text: string | undefined): Instant | null {
  if (text === undefined) return null
  const instant = parseDateOrInstant(text)
  if (instant !== undefined) return instant
  throw new ConfigError([
    `${name}: expected a date such as 2016-01-04 or an instant such as 2016-01-04T14:30:00Z, got "${text}"`,
  ])
}

/** Milliseconds of `90s`, `15m`, `2h`, `3d`. */
export function durationOption(name: string, text: string): number {
  const seconds = parseDuration(text)
  if (seconds !== undefined) return seconds * 1000
  throw new ConfigError([`${name}: expected a duration such as 90s, 15m, 2h or 3d, got "${text}"`])
}

export function wholeNumberOption(
  name: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new ConfigError([`${name}: expected a whole number from ${min} to ${max}, got "${text}"`])
}
