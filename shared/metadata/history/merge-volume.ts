import { type IngestionVolume, ingestionVolume } from '../model/kinds/ingestion-volume.ts'
import type { MetadataLinks, NewMetadataRecord } from '../model/record.ts'
import type { Counts, GuardEvent, SliceEvent, SourcedEvent } from './import-event.ts'
import type { HistoryTable } from './import-summary.ts'
import { mergedRecord } from './merged-record.ts'
import { lastOf } from './order.ts'
import type { PlacedSlices } from './place-slices.ts'

const SUMMED = ['records', 'inserted', 'updated', 'unchanged', 'superseded', 'rejected', 'outside'] as const

/**
 * The counts of a run's slices, summed: of each slice those that were told last, so that one that was worked on twice,
 * or stands in a log and in a manifest, counts once. What was told of the whole run counts only where no slice is told
 * of. Null where nothing was counted, or nobody says of which window: without one the record would be the newest of its
 * table until the window is found, and for ever after.
 */
export function mergeVolume(
  { target, events }: PlacedSlices,
  guards: readonly SourcedEvent<GuardEvent>[],
): NewMetadataRecord | null {
  const counted = countedSlices(events)
  if (counted.size === 0) return null
  const told = events.map(({ event }) => event)
  const window = hullOf(told.filter(({ slice }) => slice === undefined || counted.has(slice)))
  if (window === undefined) return null
  const filter = lastOf(told, (event) => event.filter)
  const payload: IngestionVolume = { ...sumOf([...counted.values()]), ...(filter !== undefined && { filter }) }
  const guard = guards.at(-1)?.event
  return mergedRecord({
    kind: ingestionVolume,
    target,
    // The last of the run's own events says when it was: a report that is found later does not.
    events: [...guards, ...events],
    window,
    payload,
    links: linksOf(target, told),
    extras: {
      ...(!counted.has(undefined) && { slices: counted.size }),
      ...(guard !== undefined && { guard: { outcome: guard.outcome, reasons: guard.payload.reasons } }),
    },
  })
}

export function linksOf(target: HistoryTable, told: readonly SliceEvent[]): MetadataLinks {
  const parent = lastOf(told, (event) => event.parent)
  return { outputs: [target], ...(parent !== undefined && { parent }) }
}

function countedSlices(events: readonly SourcedEvent<SliceEvent>[]): ReadonlyMap<string | undefined, Counts> {
  const counted = new Map<string | undefined, Counts>()
  for (const { event } of events) {
    if (event.counts !== undefined) counted.set(event.slice, event.counts)
  }
  if (counted.size > 1) counted.delete(undefined)
  return counted
}

function sumOf(slices: readonly Counts[]): Counts {
  const sum = (countOf: (counts: Counts) => number) => slices.reduce((total, counts) => total + countOf(counts), 0)
  const [records, inserted, updated, unchanged, superseded, rejected, outside] = SUMMED.map((name) =>
    sum((counts) => counts[name]),
  ) as [number, number, number, number, number, number, number]
  const optional = (name: 'bytes' | 'pages') =>
    // Of some slices only it would be the sum of nothing that anybody knows.
    slices.every((counts) => counts[name] !== undefined) ? { [name]: sum((counts) => counts[name] ?? 0) } : {}
  return {
    records,
    inserted,
    updated,
    unchanged,
    superseded,
    rejected,
    outside,
    ...optional('bytes'),
    ...optional('pages'),
  }
}

function hullOf(told: readonly SliceEvent[]) {
  const windows = told.flatMap(({ window }) => (window === undefined ? [] : [window]))
  const [first] = windows
  if (first === undefined) return undefined
  return windows.reduce(
    (hull, { start, end }) => ({
      start: start < hull.start ? start : hull.start,
      end: end > hull.end ? end : hull.end,
    }),
    first,
  )
}
