import type { MetadataKinds } from '../model/kinds.ts'
import { byEffectiveTime, byTime, entryOf, type IndexEntry, type IndexedSeries, isLater } from './index-entry.ts'
import type { StoredLine } from './stored-line.ts'

export type SeriesIndex = IndexedSeries & {
  /** Oldest first. */
  readonly entries: IndexEntry<SeriesIndex>[]
  latest: IndexEntry<SeriesIndex> | null
  /** Grows whenever another record becomes the latest. */
  changeNo: number
}

export type Entry = IndexEntry<SeriesIndex>

const SHARED_TEXTS_MAX = 10_000

/** Everything about the records of one tenant but what they say. What was added to it never leaves. */
export type MemoryIndex = {
  readonly size: () => number
  /** Every record, oldest first by effective time. */
  readonly entries: () => readonly Entry[]
  readonly allSeries: () => IterableIterator<SeriesIndex>
  readonly series: (of: IndexedSeries) => SeriesIndex | undefined
  /** The series, made where it is missing. */
  readonly seriesOf: (of: IndexedSeries) => SeriesIndex
  readonly find: (key: string, revision: number) => Entry | undefined
  /** Whether there is no higher revision of its fact. */
  readonly isNewest: (entry: Entry) => boolean
  /** Null where this revision of the fact is known: a repeated line is no second record. */
  readonly add: (line: StoredLine, kinds: MetadataKinds) => Entry | null
  /** The same of what was indexed before; does not touch the latest. */
  readonly restore: (entry: Entry) => Entry
}

export function createMemoryIndex(): MemoryIndex {
  const all: Entry[] = []
  // By revision; of most facts there is one, and no list.
  const facts = new Map<string, Entry | Entry[]>()
  const seriesByName = new Map<string, SeriesIndex>()

  const find = (key: string, revision: number): Entry | undefined => {
    const known = facts.get(key)
    if (Array.isArray(known)) return known[revision]
    return known?.revision === revision ? known : undefined
  }
  const seriesOf = (of: IndexedSeries): SeriesIndex => {
    const name = nameOf(of)
    const known = seriesByName.get(name)
    if (known !== undefined) return known
    const { target, kind, scope } = of
    const { sourceId, schema, table } = target
    const made: SeriesIndex = {
      target: { sourceId, schema, table },
      kind,
      scope,
      entries: [],
      latest: null,
      changeNo: 0,
    }
    seriesByName.set(name, made)
    return made
  }
  const share = createSharedTexts()
  const restore = (given: Entry): Entry => {
    const entry = lean(given, share)
    const known = facts.get(entry.key)
    if (known === undefined) facts.set(entry.key, entry)
    else {
      const revisions = Array.isArray(known) ? known : []
      if (!Array.isArray(known)) revisions[known.revision] = known
      revisions[entry.revision] = entry
      facts.set(entry.key, revisions)
    }
    insert(all, entry, byEffectiveTime)
    insert(entry.series.entries, entry, byTime)
    return entry
  }
  return {
    size: () => all.length,
    entries: () => all,
    allSeries: () => seriesByName.values(),
    series: (of) => seriesByName.get(nameOf(of)),
    seriesOf,
    find,
    isNewest(entry) {
      const known = facts.get(entry.key)
      return Array.isArray(known) ? known.at(-1) === entry : known === entry
    },
    add(line, kinds) {
      const { key, record } = line
      if (find(key, record.revision) !== undefined) return null
      const entry = restore(entryOf(line, seriesOf(record), kinds))
      const { series } = entry
      if (series.latest === null || isLater(entry, series.latest)) {
        series.latest = entry
        series.changeNo++
      }
      return entry
    },
    restore,
  }
}

/** One text in memory where many records say the same: 840 bytes for a record became 680. */
function lean(entry: Entry, share: (text: string) => string): Entry {
  const { effectiveAt, orderedAt, windowEnd, jobId, outcome, facets } = entry
  return {
    ...entry,
    orderedAt: orderedAt === effectiveAt ? effectiveAt : orderedAt,
    windowEnd: windowEnd === effectiveAt ? effectiveAt : windowEnd,
    producerId: share(entry.producerId),
    jobId: jobId === null ? null : share(jobId),
    outcome: outcome === null ? null : share(outcome),
    facets: facets === null ? null : facets.map(share),
  }
}

function createSharedTexts() {
  const known = new Map<string, string>()
  return (text: string): string => {
    const first = known.get(text)
    if (first !== undefined) return first
    if (known.size >= SHARED_TEXTS_MAX) known.clear()
    known.set(text, text)
    return text
  }
}

function nameOf({ target: { sourceId, schema, table }, kind, scope }: IndexedSeries): string {
  return JSON.stringify([sourceId, schema, table, kind, scope])
}

/** Most come in order, and go to the end. */
function insert(entries: Entry[], entry: Entry, compare: (a: Entry, b: Entry) => number): void {
  const last = entries.at(-1)
  if (last === undefined || compare(last, entry) < 0) entries.push(entry)
  else
    entries.splice(
      firstAfter(entries, (other) => compare(other, entry) < 0),
      0,
      entry,
    )
}

/** Where the first entry stands that is not `before`; entries that are come first. */
export function firstAfter(entries: readonly Entry[], before: (entry: Entry) => boolean): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = entries[middle]
    if (entry !== undefined && before(entry)) low = middle + 1
    else high = middle
  }
  return low
}
