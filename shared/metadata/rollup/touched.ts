import { type Instant, parseInstant } from '../../instant.ts'
import type { FedRecord } from '../feed/feed.ts'
import { addMonths, bucketOf, type FactTime, GRAINS, type Grain } from './cells.ts'
import type { FactSelection } from './facts.ts'

/** A month of a series, with the cells of it that are to be computed again. */
export type TouchedMonth = Pick<FactSelection, 'tenant' | 'series'> & {
  /** Its first day. */
  readonly month: string
  readonly cells: ReadonlySet<string>
}

/** What says where a record is. */
export type PlacedRecord = Pick<FedRecord, 'tenant'> & { readonly series: FactSelection['series'] } & FactTime

/** Of a record as repositories give it. */
export function placeOf({ tenant, record }: Pick<FedRecord, 'tenant' | 'record'>): PlacedRecord {
  const { target, kind, scope, window, effectiveAt } = record
  const { sourceId, schema, table } = target
  return {
    tenant,
    series: { target: { sourceId, schema, table }, kind, scope },
    windowStart: window === undefined ? null : instantOf(window.start),
    windowEnd: window === undefined ? null : instantOf(window.end),
    effectiveAt: instantOf(effectiveAt),
  }
}

export function cellName(grain: Grain, bucket: string): string {
  return `${grain} ${bucket}`
}

/** How many months before the current one are kept: as many as bands of months need. */
const MONTHS_KEPT = 25

/** The first month that is kept. */
export function firstMonth(now: Instant): string {
  const month = bucketOf({ windowStart: null, windowEnd: null, effectiveAt: now }, 'month')
  return addMonths(month ?? '', -MONTHS_KEPT)
}

/** The months of all cells that these records are in, each once, without those that are not kept. */
export function touchedMonths(records: readonly PlacedRecord[], now: Instant): readonly TouchedMonth[] {
  const oldest = firstMonth(now)
  const months = new Map<string, TouchedMonth & { readonly cells: Set<string> }>()
  for (const { tenant, series, ...time } of records) {
    for (const grain of GRAINS) {
      const bucket = bucketOf(time, grain)
      if (bucket === null || bucket < oldest) continue
      const month = `${bucket.slice(0, 7)}-01`
      const name = JSON.stringify([tenant, series, month])
      const known = months.get(name) ?? { tenant, series, month, cells: new Set<string>() }
      known.cells.add(cellName(grain, bucket))
      months.set(name, known)
    }
  }
  return [...months.values()]
}

function instantOf(text: string): Instant {
  const instant = parseInstant(text)
  if (instant === undefined) throw new Error(`instant: expected RFC 3339, got ${text}`)
  return instant
}
