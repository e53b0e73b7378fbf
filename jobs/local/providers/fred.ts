import { formatDate } from '../../../shared/instant.ts'
import { type ContentFault, type MutableRecord, spoiledJson, spoilRecords } from './faults.ts'
import { BadRequestError, checkKey, type ObservationsQuery, parseObservationsQuery } from './fred-query.ts'
import type { Observation, ObservationSeries } from './observation-series.ts'
import { createRateLimit } from './rate-limit.ts'
import {
  type SimulatedAnswer,
  type SimulatedRequest,
  type Simulator,
  type SimulatorOptions,
  startSimulatorServer,
} from './simulator-server.ts'

export type FredLimits = {
  /** In any second; 2. */
  readonly requestsPerSecond: number
  /** In any 60 seconds; 120. */
  readonly requestsPerMinute: number
  /** Largest `limit`; 100,000. */
  readonly pageRecordsMax: number
  /** Observations on one page at most, whatever `limit` asks for. The answer names the smaller one as its limit. */
  readonly pageRecordsGiven: number
}

const DOCUMENTED_LIMITS: FredLimits = {
  requestsPerSecond: 2,
  requestsPerMinute: 120,
  pageRecordsMax: 100_000,
  pageRecordsGiven: 100_000,
}

/** The provider's clock names the vintage, and observations are known from the next day on. */
export type FredSimulatorOptions = SimulatorOptions & {
  readonly series: readonly ObservationSeries[]
  readonly limits?: Partial<FredLimits>
  /** The only key that is registered; without it any of the right form is. */
  readonly key?: string
}

/** FRED's observations over HTTP, https://fred.stlouisfed.org/docs/api/fred/series_observations.html. */
export async function startFredSimulator(options: FredSimulatorOptions): Promise<Simulator> {
  const now = options.now ?? Date.now
  const limits = { ...DOCUMENTED_LIMITS, ...options.limits }
  const archive: Archive = { series: new Map(options.series.map((series) => [series.id, series])), limits, now }
  const perSecond = createRateLimit(limits.requestsPerSecond, now, 1_000)
  const perMinute = createRateLimit(limits.requestsPerMinute, now)
  return await startSimulatorServer({
    ...options,
    errorBody,
    respond(request, fault) {
      const allowed = perSecond.take().allowed && perMinute.take().allowed
      return allowed
        ? respondTo(archive, options.key, request, fault)
        : errorAnswer(429, 'Too Many Requests.  Exceeded Rate Limit', request)
    },
  })
}

type Archive = {
  readonly series: ReadonlyMap<string, ObservationSeries>
  readonly limits: FredLimits
  readonly now: () => number
}

function respondTo(
  archive: Archive,
  key: string | undefined,
  request: SimulatedRequest,
  fault: ContentFault | undefined,
): SimulatedAnswer {
  const { path, query } = request
  if (path !== '/fred/series/observations') return errorAnswer(404, 'Not Found.', request)
  try {
    checkKey(query.api_key, key)
    const today = dateInStLouis(archive.now())
    const asked = parseObservationsQuery(query, { today, pageRecordsMax: archive.limits.pageRecordsMax })
    const series = archive.series.get(asked.seriesId)
    if (series === undefined) throw new BadRequestError('Bad Request.  The series does not exist.')
    if (asked.units !== 'lin') throw new BadRequestError('Bad Request.  The simulator has units lin only.')
    const page = observationsPage(archive, series, asked, fault)
    return wantsJson(request) ? { status: 200, body: spoiledJson(page) } : xmlAnswer(200, 'observations', page)
  } catch (error) {
    if (error instanceof BadRequestError) return errorAnswer(400, error.message, request)
    throw error
  }
}

function observationsPage(
  { limits }: Archive,
  series: ObservationSeries,
  asked: ObservationsQuery,
  fault: ContentFault | undefined,
) {
  // What is dated today is not known before tomorrow.
  const known = (from: number) => series.between(from, Math.min(asked.endDate, asked.realtimeEnd - 1))
  const found = [...known(asked.startDate)]
  if (fault?.kind === 'duplicate-row') found.unshift(...series.between(0, asked.startDate - 1).slice(-1))
  if (asked.descending) found.reverse()
  const limit = Math.min(asked.limit, limits.pageRecordsGiven)
  const given = fault?.kind === 'empty-page' ? [] : found.slice(asked.offset, asked.offset + limit)
  const observations = given.map((observation) => wireObservation(observation, asked))
  if (fault?.kind === 'field') spoilRecords(observations, fault)
  return {
    realtime_start: formatDate(asked.realtimeStart),
    realtime_end: formatDate(asked.realtimeEnd),
    observation_start: formatDate(asked.startDate),
    observation_end: formatDate(asked.endDate),
    units: asked.units,
    output_type: 1,
    file_type: 'json',
    order_by: 'observation_date',
    sort_order: asked.descending ? 'desc' : 'asc',
    count: found.length,
    offset: asked.offset,
    limit,
    observations,
  }
}

function wireObservation(
  { date, value }: Observation,
  { realtimeStart, realtimeEnd }: ObservationsQuery,
): MutableRecord {
  return {
    realtime_start: formatDate(realtimeStart),
    realtime_end: formatDate(realtimeEnd),
    date: formatDate(date),
    value,
  }
}

const DATE_IN_ST_LOUIS = new Intl.DateTimeFormat('en-US', { timeZone: 'America/Chicago', dateStyle: 'short' })

/** The date of a vintage is FRED's own, in days since 1970. */
function dateInStLouis(nowMs: number): number {
  const parts = DATE_IN_ST_LOUIS.formatToParts(nowMs)
  const number = (type: string) => Number(parts.find((part) => part.type === type)?.value)
  return Date.UTC(2000 + number('year'), number('month') - 1, number('day')) / 86_400_000
}

/** FRED answers in XML unless it is told otherwise, errors too. */
function wantsJson({ query }: SimulatedRequest): boolean {
  return query.file_type === 'json'
}

function errorAnswer(status: number, message: string, request: SimulatedRequest): SimulatedAnswer {
  return wantsJson(request)
    ? { status, body: errorBody(status, message) }
    : xmlAnswer(status, 'error', { code: status, message })
}

/** Nobody here reads it: enough of it to be none of JSON. */
function xmlAnswer(status: number, name: string, attributes: Readonly<Record<string, unknown>>): SimulatedAnswer {
  const text = Object.entries(attributes).map(([key, value]) => (Array.isArray(value) ? '' : ` ${key}="${value}"`))
  const body = `<?xml version="1.0" encoding="utf-8" ?>\n<${name}${text.join('')}/>\n`
  return { status, headers: { 'content-type': 'text/xml; charset=UTF-8' }, body }
}

function errorBody(status: number, message: string): string {
  return JSON.stringify({ error_code: status, error_message: message })
}
