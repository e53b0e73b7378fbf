import { MICROS_PER_SECOND, parseInstant } from '../instant.ts'

const SECONDS_PER_DAY = 86_400

/**
 * Reads RFC 3339 instants as seconds since 1970, undefined for anything else. Records of a page follow each other, so
 * the date of the one before is kept: `YYYY-MM-DDTHH:MM:SSZ` of the same date costs a comparison and six digits.
 * Measured: the records of a page of 10,000 bars in 17 ms; 40 ms with `parseInstant` and bigint arithmetic for each.
 */
export function createSecondsReader(): (text: string) => number | undefined {
  let datePrefix = 'none'
  let dateSeconds = 0
  return (text) => {
    if (text.length === 20 && text.startsWith(datePrefix)) {
      const timeSeconds = secondsOfTime(text)
      if (timeSeconds !== undefined) return dateSeconds + timeSeconds
    }
    const instant = parseInstant(text)
    if (instant === undefined) return undefined
    const seconds = Number(instant / MICROS_PER_SECOND) + Number(instant % MICROS_PER_SECOND) / 1e6
    if (text.length === 20 && text.endsWith('Z')) {
      datePrefix = text.slice(0, 11)
      dateSeconds = Math.floor(seconds / SECONDS_PER_DAY) * SECONDS_PER_DAY
    }
    return seconds
  }
}

const COLON = 58
const UPPER_Z = 90

/** Of `HH:MM:SSZ` at the end of a text of 20 characters. */
function secondsOfTime(text: string): number | undefined {
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON || text.charCodeAt(19) !== UPPER_Z)
    return undefined
  const hour = twoDigits(text, 11, 23)
  const minute = twoDigits(text, 14, 59)
  const second = twoDigits(text, 17, 59)
  return hour < 0 || minute < 0 || second < 0 ? undefined : hour * 3600 + minute * 60 + second
}

/** -1 where there are no two digits up to `max`. */
function twoDigits(text: string, at: number, max: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  const value = tens * 10 + ones
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 || value > max ? -1 : value
}
