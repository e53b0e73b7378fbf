import pg from 'pg'
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
  if (!Number.isSafeInteger(value)) throw new Error(`int8: expected at most 2^53, got ${text}`)
  return value
}

function parseTimestamptz(text: string): Instant {
  const instant = parseInstant(text)
  if (instant === undefined) throw new Error(`timestamptz: expected an ISO instant, got ${text}`)
  return instant
}

/** `{["2000-01-01 00:00:00+00","2001-01-01 00:00:00+00"), …}` */
export function parseMultirange(text: string): readonly InstantRange[] {
  const ranges: InstantRange[] = []
  for (const match of text.matchAll(/\["([^"]+)","([^"]+)"\)/g)) {
    ranges.push({ lo: parseTimestamptz(match[1] as string), hi: parseTimestamptz(match[2] as string) })
  }
  const written = `{${ranges.length === 0 ? '' : text.slice(1, -1)}}`
  if (written !== text) throw new Error(`multirange: expected half-open ranges, got ${text}`)
  return ranges
}

/** Instants as parameters: the text that PostgreSQL reads without losing a microsecond. */
export function toParameter(value: unknown): unknown {
  return typeof value === 'bigint' ? formatInstant(value) : value
}
