import { NOT_LISTED } from './streams.ts'

/**
 * What a provider still keeps of a stream, as SQL over a row of `ingest.stream`. Said once: the planner, the lookback,
 * the alert and the status must agree on what can still be asked for.
 */

/** What is planned may wait this long in the queue: what is gone by then is not planned. Seconds. */
export const QUEUE_WAIT_S = 3600

/** From here on everything is still there when it is asked for; null where the provider keeps everything. */
export function retainedFrom(s: string): string {
  const sinceEpoch = `extract(epoch from now()) - ${s}.retention_s + ${QUEUE_WAIT_S}`
  return `to_timestamp(ceil((${sinceEpoch}) / ${s}.granularity_s) * ${s}.granularity_s)`
}

/** Where the lane live begins: at the origin, or where history waits for a backfill, when the stream was made. */
export function liveFrom(s: string): string {
  const made = `extract(epoch from ${s}.created_at - make_interval(secs => ${s}.settle_lag_s))`
  const madeAt = `to_timestamp(floor(${made} / ${s}.granularity_s) * ${s}.granularity_s)`
  return `(case when ${s}.history = 'live' then ${s}.origin else greatest(${s}.origin, ${madeAt}) end)`
}

/**
 * What can never be asked for again, whether it was asked for in time or not: from where live begins to what the
 * provider keeps, as a multirange. Empty where it keeps everything, and for a stream that only imports plan or that the
 * file no longer lists: nobody wants more of it.
 */
export function goneOf(s: string): string {
  const end = `least(${retainedFrom(s)}, ${s}.until)`
  const isPlanned = `${s}.interval_s is not null and ${s}.paused_reason is distinct from '${NOT_LISTED}'`
  // Without the first condition the end of the range would be null: endless.
  return `(case when ${s}.retention_s is not null and ${isPlanned} and ${liveFrom(s)} < ${end}
                then tstzmultirange(tstzrange(${liveFrom(s)}, ${end})) else '{}' end)`
}
