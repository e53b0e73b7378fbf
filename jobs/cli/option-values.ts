import { InvalidArgumentError } from 'commander'
import { parseDuration } from '../../shared/duration.ts'
import { type Instant, parseDateOrInstant } from '../../shared/instant.ts'

/** `2020-01-31` (00:00Z) or an instant with its zone. */
export function instantValue(text: string): Instant {
  const instant = parseDateOrInstant(text)
  if (instant !== undefined) return instant
  throw new InvalidArgumentError('expected a date such as 2020-01-31 or an instant such as 2020-01-31T12:00:00Z')
}

/** A timer of Node fires at once where it is longer. */
const DURATION_S_MAX = 24 * 86_400

/** Milliseconds of `90s`, `15m`, `2h` or `3d`. */
export function durationMsValue(text: string): number {
  const seconds = parseDuration(text)
  if (seconds !== undefined && seconds <= DURATION_S_MAX) return seconds * 1000
  throw new InvalidArgumentError('expected a duration such as 90s, 15m, 2h or 3d, of at most 24d')
}

export function countValue(text: string): number {
  const value = Number(text)
  if (/^\d{1,6}$/.test(text) && value > 0) return value
  throw new InvalidArgumentError('expected a whole number from 1 on')
}
