import { floorTo, type Instant } from '../../instant.ts'
import type { Window } from '../../sources/contract.ts'
import type { StreamLimits } from './range.ts'
import { type Step, stepEnd } from './step.ts'

export type StreamWindows = { readonly stream: StreamLimits; readonly windows: readonly Window[] }

export type Cut = {
  /** End of the partition that an instant belongs to. */
  readonly partitionEnd: (instant: Instant) => Instant
  /** Null: as many whole partitions as `maxWindow` holds, which asks the provider least often. */
  readonly step: Step | null
  /** The largest window that may be asked for, µs. */
  readonly maxWindow: bigint
  /** Windows begin and end at multiples of this, µs. */
  readonly granularity: bigint
}

/**
 * Windows that tile `range`, in the order of time. They end where partitions end, so that workers side by side do not
 * meet in one file. A partition that is larger than the largest window is made by several: their workers may meet in
 * its file, where the merge gives the same bytes whoever comes first.
 */
export function cutWindows(range: Window, cut: Cut): readonly Window[] {
  const windows: Window[] = []
  for (let lo = range.lo; lo < range.hi; ) {
    const hi = windowEnd(lo, range.hi, cut)
    windows.push({ lo, hi })
    lo = hi
  }
  return windows
}

function windowEnd(lo: Instant, rangeEnd: Instant, { partitionEnd, step, maxWindow, granularity }: Cut): Instant {
  const largest = floorTo(lo + maxWindow, granularity)
  const wanted = step === null ? rangeEnd : stepEnd(step, lo)
  if (rangeEnd <= largest && rangeEnd <= wanted) return rangeEnd
  const limit = wanted < largest ? wanted : largest
  let end = partitionEnd(lo)
  if (end > limit) return limit
  for (let next = partitionEnd(end); next <= limit; next = partitionEnd(end)) end = next
  return end
}
