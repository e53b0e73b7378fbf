import { z } from 'zod'
import { parseInstant } from '../../instant.ts'
import { pageLimit, readCursor, writeCursor } from '../model/cursor.ts'
import type { NormalFilter } from '../model/record-filter.ts'
import { type PageRequest, QueryError } from '../model/repository.ts'
import { type IndexedSeries, order } from './index-entry.ts'
import { type Entry, firstAfter, type MemoryIndex } from './memory-index.ts'

type Request = Parameters<typeof readCursor>[1]

export type EntryPage = { readonly entries: readonly Entry[]; readonly next: string | null }

/** Newest first. Throws QueryError. */
export function historyPage(index: MemoryIndex, series: IndexedSeries, page: PageRequest): EntryPage {
  const { target, kind, scope } = series
  const request = { history: { target, kind, scope } }
  const limit = pageLimit(page.limit)
  const at = readPosition(page, request, 3)
  const entries = index.series(series)?.entries ?? []
  const end = at === null ? entries.length : firstAfter(entries, (entry) => orderOf(historyPosition(entry), at) < 0)
  return pageOf(entries.slice(Math.max(0, end - limit - 1), end).reverse(), limit, (entry) =>
    writeCursor(request, historyPosition(entry)),
  )
}

/**
 * Newest first. Looks at every record of the time that is asked for until the page is full. Throws QueryError.
 */
export function queryPage(index: MemoryIndex, filter: NormalFilter, json: Request, page: PageRequest): EntryPage {
  const request = { query: json }
  const limit = pageLimit(page.limit)
  const at = readPosition(page, request, 2)
  const entries = index.entries()
  const { from, to } = filter
  const isBefore = (entry: Entry) =>
    (to === undefined || entry.effectiveAt < to) && (at === null || orderOf(queryPosition(entry), at) < 0)
  const found: Entry[] = []
  for (let place = firstAfter(entries, isBefore) - 1; place >= 0 && found.length <= limit; place--) {
    const entry = entries[place]
    if (entry === undefined || (from !== undefined && entry.effectiveAt < from)) break
    if (isFound(entry, filter)) found.push(entry)
  }
  return pageOf(found, limit, (entry) => writeCursor(request, queryPosition(entry)))
}

function isFound(entry: Entry, filter: NormalFilter): boolean {
  const { series, facets } = entry
  const { target, windowFrom, windowTo } = filter
  return (
    is(filter.kind, series.kind) &&
    is(filter.scope, series.scope) &&
    is(target?.sourceId, series.target.sourceId) &&
    is(target?.schema, series.target.schema) &&
    is(target?.table, series.target.table) &&
    is(filter.runId, entry.runId) &&
    is(filter.jobId, entry.jobId) &&
    is(filter.producerId, entry.producerId) &&
    is(filter.outcome, entry.outcome) &&
    (windowFrom === undefined || (entry.windowStart !== null && entry.windowStart >= windowFrom)) &&
    (windowTo === undefined || (entry.windowEnd !== null && entry.windowEnd <= windowTo)) &&
    (filter.facets ?? []).every((facet) => facets?.includes(facet))
  )
}

function is(asked: string | undefined, value: string | null): boolean {
  return asked === undefined || asked === value
}

/** Times, then an id. Null: from the newest on. */
function readPosition(page: PageRequest, request: Request, length: number): readonly string[] | null {
  const at = readCursor(page.after, request)
  if (at === null) return null
  const known =
    at.slice(0, -1).every((time) => parseInstant(time) !== undefined) && z.uuid().safeParse(at.at(-1)).success
  if (at.length === length && known) return at
  throw new QueryError('malformed-cursor', 'cursor: expected one that a page named, got another position')
}

function historyPosition({ effectiveAt, orderedAt, recordId }: Entry): readonly string[] {
  return [effectiveAt, orderedAt, recordId]
}

function queryPosition({ effectiveAt, recordId }: Entry): readonly string[] {
  return [effectiveAt, recordId]
}

function orderOf(a: readonly string[], b: readonly string[]): number {
  for (const [place, part] of a.entries()) {
    const compared = order(part, b[place] ?? '')
    if (compared !== 0) return compared
  }
  return 0
}

function pageOf(found: readonly Entry[], limit: number, cursorOf: (entry: Entry) => string): EntryPage {
  const last = found[limit - 1]
  return { entries: found.slice(0, limit), next: found.length > limit && last !== undefined ? cursorOf(last) : null }
}
