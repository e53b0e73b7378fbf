import { parseDate } from '../../../shared/instant.ts'

/** A request for observations that keeps FRED's documented rules. Dates are days since 1970, both ends inclusive. */
export type ObservationsQuery = {
  readonly seriesId: string
  readonly startDate: number
  readonly endDate: number
  readonly realtimeStart: number
  readonly realtimeEnd: number
  readonly units: string
  readonly descending: boolean
  readonly limit: number
  readonly offset: number
}

/** FRED's answer to whatever is wrong with a request: HTTP 400 with this message. */
export class BadRequestError extends Error {
  override readonly name = 'BadRequestError'
}

const PARAMETERS = [
  'series_id',
  'api_key',
  'file_type',
  'observation_start',
  'observation_end',
  'realtime_start',
  'realtime_end',
  'units',
  'sort_order',
  'limit',
  'offset',
]
const UNITS = ['lin', 'chg', 'ch1', 'pch', 'pc1', 'pca', 'cch', 'cca', 'log']
const READ_MORE = 'Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.'

/** FRED's own wording. `registered` is the only key that is let in; without it any of the right form is. */
export function checkKey(key: string | undefined, registered: string | undefined): void {
  if (!key) throw new BadRequestError(`Bad Request.  Variable api_key is not set.  ${READ_MORE}`)
  if (!/^[a-z0-9]{32}$/.test(key)) {
    throw new BadRequestError(
      `Bad Request.  The value for variable api_key is not a 32 character alpha-numeric lower-case string.  ${READ_MORE}`,
    )
  }
  if (registered !== undefined && key !== registered) {
    throw new BadRequestError(`Bad Request.  The value for variable api_key is not registered.  ${READ_MORE}`)
  }
}

export type ObservationsDefaults = { readonly today: number; readonly pageRecordsMax: number }

/** Stricter than FRED, which passes over parameters that it does not know: a source's misspelling fails here. */
export function parseObservationsQuery(
  query: Readonly<Record<string, string>>,
  { today, pageRecordsMax }: ObservationsDefaults,
): ObservationsQuery {
  const unknown = Object.keys(query).filter((name) => !PARAMETERS.includes(name))
  if (unknown.length > 0) throw new BadRequestError(`Bad Request.  Unknown variable(s): ${unknown.join(', ')}.`)
  if (!query.series_id) throw new BadRequestError('Bad Request.  Variable series_id is not set.')
  const startDate = date('observation_start', query.observation_start ?? '1776-07-04')
  const endDate = date('observation_end', query.observation_end ?? '9999-12-31')
  if (endDate < startDate) {
    throw new BadRequestError('Bad Request.  Variable observation_end is before observation_start.')
  }
  const realtimeStart = query.realtime_start === undefined ? today : date('realtime_start', query.realtime_start)
  const realtimeEnd = query.realtime_end === undefined ? today : date('realtime_end', query.realtime_end)
  if (realtimeEnd < realtimeStart) {
    throw new BadRequestError('Bad Request.  Variable realtime_end is before realtime_start.')
  }
  return {
    seriesId: query.series_id,
    startDate,
    endDate,
    realtimeStart,
    realtimeEnd,
    units: oneOf('units', query.units ?? 'lin', UNITS),
    descending: oneOf('sort_order', query.sort_order ?? 'asc', ['asc', 'desc']) === 'desc',
    limit: wholeNumber('limit', query.limit ?? String(pageRecordsMax), { min: 1, max: pageRecordsMax }),
    offset: wholeNumber('offset', query.offset ?? '0', { min: 0, max: 1e9 }),
  }
}

function date(name: string, text: string): number {
  const days = parseDate(text)
  if (days === undefined) throw new BadRequestError(`Bad Request.  Variable ${name} is not a date: ${text}.`)
  return days
}

function oneOf(name: string, value: string, allowed: readonly string[]): string {
  if (allowed.includes(value)) return value
  throw new BadRequestError(`Bad Request.  Variable ${name} is not one of the values: ${allowed.join(', ')}.`)
}

function wholeNumber(name: string, text: string, { min, max }: { readonly min: number; readonly max: number }): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new BadRequestError(`Bad Request.  Variable ${name} is not between ${min} and ${max}.`)
}
