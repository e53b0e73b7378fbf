import { MICROS_PER_DAY, parseDate, parseInstant } from '../../instant.ts'
import { cellPosition, type NormalAggregate, normalAggregate } from '../model/aggregate-query.ts'
import { pageLimit, readCursor, writeCursor } from '../model/cursor.ts'
import {
  type AggregateCell,
  type AggregatePage,
  type AggregateQuery,
  type PageRequest,
  QueryError,
} from '../model/repository.ts'
import { type IndexedSeries, order } from './index-entry.ts'
import type { Entry, MemoryIndex } from './memory-index.ts'

const POSITION_PARTS = 6

type Cell = {
  readonly series: IndexedSeries
  readonly metric: string
  readonly bucket: string
  count: number
  total: number | null
  min: number | null
  max: number | null
  readonly outcomes: Record<string, number>
}

/** Made of the index anew for every page: of the highest revision of each fact. Throws QueryError. */
export function aggregatePage(index: MemoryIndex, given: AggregateQuery, page: PageRequest = {}): AggregatePage {
  const query = normalAggregate(given)
  const request = { aggregate: query }
  const after = readCursor(page.after, request)
  if (after !== null) checkPosition(after)
  const limit = pageLimit(page.limit)
  const cells = cellsOf(index, query)
    .map((cell) => toCell(cell, query.grain))
    .filter((cell) => after === null || byPosition(cellPosition(cell), after) > 0)
    .sort((a, b) => byPosition(cellPosition(a), cellPosition(b)))
  const found = cells.slice(0, limit)
  const last = found.at(-1)
  return {
    cells: found,
    next: cells.length > limit && last !== undefined ? writeCursor(request, cellPosition(last)) : null,
  }
}

function cellsOf(index: MemoryIndex, query: NormalAggregate): readonly Cell[] {
  const all: Cell[] = []
  for (const series of index.allSeries()) {
    if (!isAskedFor(series, query)) continue
    const cells = new Map<string, Cell>()
    for (const entry of series.entries) {
      const bucket = bucketOf(entry, query.grain)
      if (bucket < query.from || bucket >= query.to || !fits(entry, query.grain, bucket)) continue
      if (!index.isNewest(entry)) continue
      for (const [metric, value] of metricsOf(entry, query.metric)) {
        const name = `${bucket} ${metric}`
        const cell = cells.get(name) ?? emptyCell(series, metric, bucket)
        if (cell.count === 0) cells.set(name, cell)
        cell.count++
        if (value !== null) addNumber(cell, value)
        else if (entry.outcome !== null) addOutcome(cell, entry.outcome)
      }
    }
    all.push(...cells.values())
  }
  return all
}

function isAskedFor({ target, kind, scope }: IndexedSeries, query: NormalAggregate): boolean {
  if (kind !== query.kind || (query.scope !== undefined && scope !== query.scope)) return false
  const asked = query.target
  if (asked === undefined) return true
  return target.sourceId === asked.sourceId && target.schema === asked.schema && target.table === asked.table
}

/** Of the window's start; of the effective time where there is no window. */
function bucketOf({ windowStart, effectiveAt }: Entry, grain: 'day' | 'month'): string {
  const start = windowStart ?? effectiveAt
  return grain === 'day' ? start.slice(0, 10) : `${start.slice(0, 7)}-01`
}

/** Whether the window is not longer than its bucket. */
function fits({ windowStart, windowEnd }: Entry, grain: 'day' | 'month', bucket: string): boolean {
  if (windowStart === null || windowEnd === null) return true
  // Most end where they begin: no need to parse them, which took most of the time.
  if (windowEnd.startsWith(grain === 'day' ? bucket : bucket.slice(0, 7))) return true
  const micros = (parseInstant(windowEnd) ?? 0n) - (parseInstant(windowStart) ?? 0n)
  return micros <= BigInt(daysOf(bucket, grain)) * MICROS_PER_DAY
}

function daysOf(bucket: string, grain: 'day' | 'month'): number {
  if (grain === 'day') return 1
  const [year = 0, month = 0] = bucket.split('-').map(Number)
  // Day 0 is the last one of the month before.
  return new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()
}

function* metricsOf({ numbers }: Entry, asked: string | undefined): Generator<readonly [string, number | null]> {
  if (asked === undefined || asked === '') yield ['', null]
  for (const metric in numbers) {
    if (asked === undefined || asked === metric) yield [metric, numbers[metric] ?? null]
  }
}

function emptyCell(series: IndexedSeries, metric: string, bucket: string): Cell {
  return { series, metric, bucket, count: 0, total: null, min: null, max: null, outcomes: {} }
}

function addNumber(cell: Cell, value: number): void {
  cell.total = (cell.total ?? 0) + value
  cell.min = Math.min(cell.min ?? value, value)
  cell.max = Math.max(cell.max ?? value, value)
}

function addOutcome({ outcomes }: Cell, outcome: string): void {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
}

function toCell({ series, ...rest }: Cell, grain: 'day' | 'month'): AggregateCell {
  const { target, kind, scope } = series
  return { target, kind, scope, grain, ...rest }
}

function byPosition(a: readonly string[], b: readonly string[]): number {
  for (const [place, part] of a.entries()) {
    const compared = order(part, b[place] ?? '')
    if (compared !== 0) return compared
  }
  return 0
}

function checkPosition(at: readonly string[]): void {
  if (at.length === POSITION_PARTS && parseDate(at[0] ?? '') !== undefined) return
  throw new QueryError('malformed-cursor', 'cursor: expected one that a page named, got another position')
}
