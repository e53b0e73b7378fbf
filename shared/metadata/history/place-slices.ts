import { named, type SliceEvent, type SourcedEvent } from './import-event.ts'
import type { HistoryTable } from './import-summary.ts'
import { compareTexts } from './order.ts'

export type PlacedSlices = { readonly target: HistoryTable; readonly events: readonly SourcedEvent<SliceEvent>[] }

/**
 * A run's events by the table they are about, in their order. One that names no table is about every table of which
 * another event names its slice; one that names no slice either, about every table of the run. So no event that is found
 * later takes one away from a table: what could be said of it before can be said of it then.
 */
export function placeSlices(events: readonly SourcedEvent<SliceEvent>[]): readonly PlacedSlices[] {
  const tables = new Map<string, { target: HistoryTable; slices: Set<string>; events: SourcedEvent<SliceEvent>[] }>()
  for (const { event } of events) {
    if (event.target === undefined) continue
    const key = tableKey(event.target)
    const table = tables.get(key) ?? { target: event.target, slices: new Set<string>(), events: [] }
    tables.set(key, table)
    if (event.slice !== undefined) table.slices.add(event.slice)
  }
  for (const sourced of events) {
    const { target, slice } = sourced.event
    if (target !== undefined) tables.get(tableKey(target))?.events.push(sourced)
    else
      for (const table of tables.values()) {
        if (slice === undefined || table.slices.has(slice)) table.events.push(sourced)
      }
  }
  return [...tables].sort(([a], [b]) => compareTexts(a, b)).map(([, table]) => table)
}

export function tableKey(target: HistoryTable): string {
  return JSON.stringify(named(target))
}
