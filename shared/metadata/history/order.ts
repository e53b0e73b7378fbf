import { canonicalJson, type JsonValue } from '../../json.ts'
import type { ImportEvent, SourcedEvent } from './import-event.ts'

/** By time, then by what they say: of any events the same is the last, in whatever order they are asked. */
export function compareEvents(a: ImportEvent, b: ImportEvent): number {
  if (a.at !== b.at) return a.at < b.at ? -1 : 1
  return compareTexts(canonicalJson(a as JsonValue), canonicalJson(b as JsonValue))
}

export function inOrder<Event extends ImportEvent>(events: readonly SourcedEvent<Event>[]): SourcedEvent<Event>[] {
  return [...events].sort((a, b) => compareEvents(a.event, b.event))
}

/** By code unit: no locale. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The last that is there. */
export function lastOf<Event, Value>(
  events: readonly Event[],
  pick: (event: Event) => Value | undefined,
): Value | undefined {
  for (let at = events.length - 1; at >= 0; at--) {
    const value = pick(events[at] as Event)
    if (value !== undefined) return value
  }
  return undefined
}
