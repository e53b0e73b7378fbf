import pg from 'pg'
import { PermanentError } from '../errors.ts'
import { formatInstant, type Instant, parseInstant } from '../instant.ts'

/** One range of a `tstzmultirange`: half-open and bounded, as the platform writes them. */
export type InstantRange = { readonly lo: Instant; readonly hi: Instant }

const OID_INT8 = 20
const OID_TIMESTAMPTZ = 1184
const OID_TSTZMULTIRANGE = 4534

/**
 * How values come out of PostgreSQL. The driver's own way loses microseconds (timestamptz as a Date) and gives int8 as
 * text: counts are numbers here, checked to be exact, and instants are bigint µs.
 */
export const typeParsers: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === OID_INT8) return parseCount
    if (oid === OID_TIMESTAMPTZ) return parseTimestamptz
    if (oid === OID_TSTZMULTIRANGE) return parseMultirange
    return pg.types.getTypeParser(oid, format)
  }) as typeof pg.types.getTypeParser,
}

function parseCount(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new PermanentError(`int8: expected at most 2^53, got ${text}`)
  return value
}

function parseTimestamptz(text: string): Instant {
  const instant = parseInstant(text)
  if (instant === undefined) throw new PermanentError(`timestamptz: expected an ISO instant, got ${text}`)
  return instant
}

/** `{["2000-01-01 00:00:00+00","2001-01-01 00:00:00+00"), …}` */
export function parseMultirange(text: string): readonly InstantRange[] {
  const ranges: InstantRange[] = []
  const written: string[] = []
  for (const [range, lo, hi] of text.matchAll(/\["([^"]+)","([^"]+)"\)/g)) {
    ranges.push({ lo: parseTimestamptz(lo as string), hi: parseTimestamptz(hi as string) })
    written.push(range)
  }
  // A range with another bound does not match, and must not be left out.
  if (`{${written.join(',')}}` !== text) throw new PermanentError(`multirange: expected half-open ranges, got ${text}`)
  return ranges
}

/** Instants as parameters: the text that PostgreSQL reads without losing a microsecond. */
export function toParameter(value: unknown): unknown {
  return typeof value === 'bigint' ? formatInstant(value) : value
}
