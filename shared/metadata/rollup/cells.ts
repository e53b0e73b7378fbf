import { floorTo, formatDate, type Instant, instantOfDate, MICROS_PER_DAY, parseDate } from '../../instant.ts'

export type Grain = 'day' | 'month'
export const GRAINS: readonly Grain[] = ['day', 'month']

/** When a fact was: its window, or the moment it is effective where it has none. */
export type FactTime = {
  readonly windowStart: Instant | null
  readonly windowEnd: Instant | null
  readonly effectiveAt: Instant
}

/** First day of the bucket (UTC) that a fact is in, `YYYY-MM-DD`; null where its window is longer than the bucket. */
export function bucketOf({ windowStart, windowEnd, effectiveAt }: FactTime, grain: Grain): string | null {
  const start = windowStart ?? effectiveAt
  const bucket = firstDay(start, grain)
  return windowEnd !== null && windowEnd - start > bucketEnd(bucket, grain) - bucketStart(bucket) ? null : bucket
}

function firstDay(at: Instant, grain: Grain): string {
  const date = formatDate(Number(floorTo(at, MICROS_PER_DAY) / MICROS_PER_DAY))
  return grain === 'day' ? date : `${date.slice(0, 7)}-01`
}

export function bucketStart(bucket: string): Instant {
  const days = parseDate(bucket)
  if (days === undefined) throw new Error(`bucket: expected a date, got ${bucket}`)
  return instantOfDate(days)
}

export function bucketEnd(bucket: string, grain: Grain): Instant {
  return grain === 'day' ? bucketStart(bucket) + MICROS_PER_DAY : bucketStart(addMonths(bucket, 1))
}

/** The first day of the month that is `months` later. */
export function addMonths(bucket: string, months: number): string {
  const [year = 0, month = 1] = bucket.split('-').map(Number)
  const count = year * 12 + (month - 1) + months
  return `${String(Math.floor(count / 12)).padStart(4, '0')}-${String((count % 12) + 1).padStart(2, '0')}-01`
}

/** What is known of a fact besides its time. */
export type Fact = FactTime & {
  readonly outcome: string | null
  /** Of the kind's rollups, in their order; null where it does not have the number. */
  readonly numbers: readonly (number | null)[]
}

export type Cell = {
  readonly metric: string
  readonly grain: Grain
  readonly bucket: string
  readonly count: number
  readonly total: number | null
  readonly min: number | null
  readonly max: number | null
  readonly outcomes: Readonly<Record<string, number>>
}

/** Facts in any order, at most one revision of each. `total` is the sum in the order in which they came. */
export function createCells(metrics: readonly string[]) {
  const cells = new Map<string, Cell>()
  const put = (metric: string, grain: Grain, bucket: string, change: (cell: Cell) => Cell) => {
    const name = `${grain} ${bucket} ${metric}`
    const empty = { metric, grain, bucket, count: 0, total: null, min: null, max: null, outcomes: {} }
    cells.set(name, change(cells.get(name) ?? empty))
  }
  return {
    /** Into its day and its month, where `wanted` says so. */
    add(fact: Fact, wanted: (grain: Grain, bucket: string) => boolean): void {
      for (const grain of GRAINS) {
        const bucket = bucketOf(fact, grain)
        if (bucket === null || !wanted(grain, bucket)) continue
        put('', grain, bucket, (cell) => withOutcome(cell, fact.outcome))
        for (const [index, metric] of metrics.entries()) {
          const value = fact.numbers[index] ?? null
          if (value !== null) put(metric, grain, bucket, (cell) => withNumber(cell, value))
        }
      }
    },
    all: (): readonly Cell[] => [...cells.values()],
  }
}

function withOutcome(cell: Cell, outcome: string | null): Cell {
  const outcomes = outcome === null ? cell.outcomes : { ...cell.outcomes, [outcome]: (cell.outcomes[outcome] ?? 0) + 1 }
  return { ...cell, count: cell.count + 1, outcomes }
}

function withNumber(cell: Cell, value: number): Cell {
  return {
    ...cell,
    count: cell.count + 1,
    total: (cell.total ?? 0) + value,
    min: Math.min(cell.min ?? value, value),
    max: Math.max(cell.max ?? value, value),
  }
}
