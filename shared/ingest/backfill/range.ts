import { formatDuration } from '../../duration.ts'
import { floorTo, formatInstant, type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Window } from '../../sources/contract.ts'
import { liveFrom, retainedFrom } from '../plan/retention.ts'

const LOCK: Statement = {
  name: 'lock_streams_to_backfill',
  text: `select stream_id from ingest.stream where stream_id = any($1::bigint[]) order by stream_id for update`,
}

// Statements after the lock see what was committed while we waited for it.
const LIMITS: Statement = {
  name: 'limits_of_backfill',
  text: `
select s.stream_id as "streamId", concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as name, s.source, s.dataset,
       s.subject, s.timeframe, s.history, s.origin, s.until, s.granularity_s as "granularityS", s.max_window_s as "maxWindowS",
       s.retention_s as "retentionS", s.paused, s.paused_reason as "pausedReason",
       upper(s.fetched) as "fetchedUntil", ${liveFrom('s')} as "liveFrom", ${retainedFrom('s')} as "retainedFrom",
       to_timestamp(floor(extract(epoch from now() - make_interval(secs => s.settle_lag_s)) / s.granularity_s) * s.granularity_s) as settled
  from ingest.stream s
 where s.stream_id = any($1::bigint[])
 order by name`,
}

/** What decides how far back and how far ahead a backfill of one stream may reach. */
export type StreamLimits = {
  readonly streamId: number
  readonly name: string
  readonly source: string
  readonly dataset: string
  readonly subject: string
  readonly timeframe: string | null
  readonly history: 'live' | 'backfill'
  readonly origin: Instant
  readonly until: Instant | null
  readonly granularityS: number
  readonly maxWindowS: number
  readonly retentionS: number | null
  readonly paused: boolean
  readonly pausedReason: string | null
  readonly fetchedUntil: Instant | null
  readonly liveFrom: Instant
  readonly retainedFrom: Instant | null
  readonly settled: Instant
}

/** A part of what was asked for that is not planned, and why. */
export type LeftOut = {
  readonly stream: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  readonly reason: string
}

/** Locks the streams, in their order, and reads what limits a backfill of each. */
export async function lockLimits(tx: Queryable, streamIds: readonly number[]): Promise<readonly StreamLimits[]> {
  await tx.query(LOCK, [streamIds])
  return tx.query<StreamLimits>(LIMITS, [streamIds])
}

export type Asked = { readonly from: Instant | null; readonly to: Instant | null }

/**
 * The part of what was asked for that a backfill may take: from the origin, or from where the provider still keeps
 * everything, to where the lane live begins. `range` is null where nothing is left of it.
 */
export function rangeOf(
  stream: StreamLimits,
  asked: Asked,
): { readonly range: Window | null; readonly leftOut: readonly LeftOut[] } {
  const leftOut: LeftOut[] = []
  const leave = (lo: Instant | null, hi: Instant | null, reason: string) =>
    void leftOut.push({ stream: stream.name, lo, hi, reason })
  const { origin, retainedFrom, fetchedUntil } = stream
  const granularity = BigInt(stream.granularityS) * MICROS_PER_SECOND
  if (stream.history === 'live' && fetchedUntil === null) {
    leave(asked.from, asked.to, 'the lane live takes it all: nothing is fetched yet, and its history is live')
    return { range: null, leftOut }
  }
  const [hi, whyHi] = endOf(stream)
  let lo = floorTo(asked.from ?? origin, granularity)
  if (lo < origin) {
    leave(lo, origin, `lies before the origin of the stream, ${formatInstant(origin)}`)
    lo = origin
  }
  if (retainedFrom !== null && lo < retainedFrom) {
    leave(lo, retainedFrom, `is older than what the provider keeps, ${formatDuration(stream.retentionS ?? 0)}`)
    lo = retainedFrom
  }
  const to = asked.to === null ? hi : floorTo(asked.to, granularity)
  if (to > hi) leave(lo > hi ? lo : hi, to, whyHi)
  const end = to < hi ? to : hi
  if (lo < end) return { range: { lo, hi: end }, leftOut }
  if (leftOut.length === 0) leave(lo, asked.to, whyHi)
  return { range: null, leftOut }
}

/**
 * Where a backfill ends, and why. History that waits for a backfill is the backfill's up to where live began, also
 * where an earlier backfill has fetched some of it and live nothing yet.
 */
function endOf(stream: StreamLimits): [Instant, string] {
  const { history, fetchedUntil, liveFrom, settled, until } = stream
  const live = history === 'live' || (fetchedUntil !== null && fetchedUntil > liveFrom) ? fetchedUntil : liveFrom
  const ends: [Instant, string][] = [
    [live ?? liveFrom, 'is taken by the lane live'],
    [settled, 'may still change: it is taken by the lane live'],
  ]
  if (until !== null) ends.push([until, `lies after the end of the stream, ${formatInstant(until)}`])
  return ends.reduce((least, end) => (end[0] < least[0] ? end : least))
}
