import { seededRandom } from './seeded-random.ts'

/** What goes wrong on the way: any simulator's server does these by itself. */
export type WireFault =
  | { readonly kind: 'latency'; readonly ms: number }
  /** The request is taken and never answered. */
  | { readonly kind: 'stall' }
  /** The connection is reset without a byte. */
  | { readonly kind: 'reset' }
  /** `content-length` names the whole body, the connection ends after this part of it. */
  | { readonly kind: 'truncate'; readonly keep: number }
  /** This part of the body, and `content-length` agrees: only the content shows it. */
  | { readonly kind: 'cut'; readonly keep: number }
  | { readonly kind: 'throttle'; readonly retryAfter?: string }
  | { readonly kind: 'error'; readonly status: number; readonly retryAfter?: string; readonly message?: string }
  | { readonly kind: 'html' }
  /** Another body, with HTTP 200: errors that providers hide there. */
  | { readonly kind: 'body'; readonly body: string }
  | { readonly kind: 'content-type'; readonly value: string }
  /** `content-encoding: gzip` on a body that is not; only where the client accepts gzip. */
  | { readonly kind: 'gzip-header-only' }
  /** A gzip body, and no header that says so. */
  | { readonly kind: 'gzip-body-only' }

/** What is wrong with the content of a good answer: the provider's own simulator does these. */
export type ContentFault =
  /** Changes `field` of the record at `row`, or of all records. `huge` is 2^53 + 1. */
  | {
      readonly kind: 'field'
      readonly change: 'drop' | 'rename' | 'null' | 'string' | 'huge' | 'extra'
      readonly field: string
      readonly row?: number
    }
  /** The page begins with the last record of the page before. */
  | { readonly kind: 'duplicate-row' }
  /** No records, and a token that leads to them. */
  | { readonly kind: 'empty-page' }

export type Fault = WireFault | ContentFault

/** What a fault may depend on. `count` is 1 for the first request since the plan was set. */
export type FaultPlace = { readonly count: number; readonly atMs: number; readonly path: string }

/** The fault of each request in turn, undefined for a good answer; after the last all are good. Or a function of it. */
export type FaultPlan = readonly (Fault | undefined)[] | ((place: FaultPlace) => Fault | undefined)

export function faultOf(plan: FaultPlan, place: FaultPlace): Fault | undefined {
  return typeof plan === 'function' ? plan(place) : plan[place.count - 1]
}

/** No request is answered between two instants, ms since 1970. */
export function outage({ fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number }): FaultPlan {
  return ({ atMs }) => (atMs >= fromMs && atMs < untilMs ? { kind: 'reset' } : undefined)
}

/** Faults that a whole answer follows when the request is repeated: with them nothing may be lost. */
const PASSING_FAULTS: readonly Fault[] = [
  { kind: 'latency', ms: 50 },
  { kind: 'reset' },
  { kind: 'truncate', keep: 0.5 },
  { kind: 'cut', keep: 0.9 },
  { kind: 'throttle', retryAfter: '1' },
  { kind: 'throttle' },
  { kind: 'error', status: 500 },
  { kind: 'error', status: 503, retryAfter: '1' },
  { kind: 'content-type', value: 'text/plain' },
  { kind: 'gzip-header-only' },
  { kind: 'gzip-body-only' },
  { kind: 'duplicate-row' },
  { kind: 'empty-page' },
]

/** `share` of all requests get one of the passing faults: the same ones, by their count, for the same seed. */
export function seededFaults(seed: string, share: number): FaultPlan {
  return ({ count }) => {
    const random = seededRandom(`${seed} ${count}`)
    return random() < share ? PASSING_FAULTS[Math.floor(random() * PASSING_FAULTS.length)] : undefined
  }
}

const HUGE_MARK = '<2^53+1>'
const HUGE = '9007199254740993'

export type MutableRecord = Record<string, unknown>

/** Applies a field fault to records that are about to be sent. */
export function spoilRecords(records: readonly MutableRecord[], fault: Fault & { readonly kind: 'field' }): void {
  const spoiled = fault.row === undefined ? records : records.slice(fault.row, fault.row + 1)
  for (const record of spoiled) {
    const { change, field } = fault
    const value = record[field]
    if (change === 'drop' || change === 'rename') delete record[field]
    if (change === 'rename') record[`${field}_renamed`] = value
    if (change === 'null') record[field] = null
    if (change === 'string') record[field] = String(value)
    if (change === 'extra') record[`${field}_extra`] = value
    if (change === 'huge') record[field] = HUGE_MARK
  }
}

/** JSON in which a field spoiled by `huge` is the integer 2^53 + 1, which no double can say. */
export function spoiledJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(JSON.stringify(HUGE_MARK), HUGE)
}
