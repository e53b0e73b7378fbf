import type { Instant } from '../../shared/instant.ts'
import type { InstantRange } from '../../shared/postgres/types.ts'

export type CoverageParts = {
  readonly published: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
  /** Raw is there; what is not published of it is being curated, or failed. */
  readonly fetched: readonly InstantRange[]
}

export const BAR_LEGEND = '# published   = accepted   + fetched only   . missing'
const WIDTH = 72

/**
 * Time from `lo` to `hi` as one line of characters. Each stands for the least that is known of its stretch, so a hole
 * of a minute in ten years is seen.
 */
export function coverageBar({ published, accepted, fetched }: CoverageParts, lo: Instant, hi: Instant): string {
  const cells = Math.min(WIDTH, Number(hi - lo))
  const done = [...published, ...accepted]
  let bar = ''
  for (let cell = 0; cell < cells; cell++) {
    const from = lo + ((hi - lo) * BigInt(cell)) / BigInt(cells)
    const to = lo + ((hi - lo) * BigInt(cell + 1)) / BigInt(cells)
    if (covers(published, from, to)) bar += '#'
    else if (covers(done, from, to)) bar += '='
    else bar += covers([...done, ...fetched], from, to) ? '+' : '.'
  }
  return bar
}

/** Whether the ranges together hold all of `[from, to)`; they may overlap and come in any order. */
function covers(ranges: readonly InstantRange[], from: Instant, to: Instant): boolean {
  let reached = from
  for (const { lo, hi } of ranges.toSorted((a, b) => (a.lo < b.lo ? -1 : a.lo > b.lo ? 1 : 0))) {
    if (lo > reached) break
    if (hi > reached) reached = hi
  }
  return reached >= to
}
