import { guardDecision } from '../model/kinds/guard-decision.ts'
import { reconResult } from '../model/kinds/recon-result.ts'
import { schemaSnapshot } from '../model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../model/record.ts'
import type { CatalogEvent, GuardEvent, ReconEvent, SliceEvent, SourcedEvent } from './import-event.ts'
import { mergeRuntime } from './merge-runtime.ts'
import { mergeVolume } from './merge-volume.ts'
import { mergedRecord } from './merged-record.ts'
import { inOrder } from './order.ts'
import { placeSlices, tableKey } from './place-slices.ts'

export type MergedRun = {
  readonly records: readonly NewMetadataRecord[]
  /** Something was counted of which nobody says the table or the window, or nothing ended. */
  readonly waiting: boolean
}

/**
 * What all that is known of a run says: one record per kind and table, of recon per check, scope and window too. A
 * function of the set of its events.
 */
export function mergeRun(events: readonly SourcedEvent[]): MergedRun {
  const slices: SourcedEvent<SliceEvent>[] = []
  const guards: SourcedEvent<GuardEvent>[] = []
  const recons: SourcedEvent<ReconEvent>[] = []
  const catalogs: SourcedEvent<CatalogEvent>[] = []
  for (const { event, source } of inOrder(events)) {
    if (event.type === 'slice') slices.push({ event, source })
    else if (event.type === 'guard') guards.push({ event, source })
    else if (event.type === 'recon') recons.push({ event, source })
    else catalogs.push({ event, source })
  }
  const guardsOf = grouped(guards, ({ target }) => tableKey(target))
  const loads: NewMetadataRecord[] = []
  const told = new Set<SliceEvent>()
  for (const placed of placeSlices(slices)) {
    const volume = mergeVolume(placed, guardsOf.get(tableKey(placed.target)) ?? [])
    const runtime = mergeRuntime(placed)
    if (volume !== null) for (const { event } of placed.events) told.add(event)
    loads.push(...[volume, runtime].filter((record) => record !== null))
  }
  const checks = grouped(recons, ({ target, scope, payload, window }) =>
    JSON.stringify([tableKey(target), scope, payload.check, payload.metric, window?.start, window?.end]),
  )
  const records = [
    ...loads,
    ...[...guardsOf.values()].map(mergeGuards),
    ...[...checks.values()].map(mergeChecks),
    ...catalogs.map(mergeCatalog),
  ]
  const untold = slices.some(({ event }) => event.counts !== undefined && !told.has(event))
  return { records, waiting: untold || records.length === 0 }
}

function grouped<Event extends GuardEvent | ReconEvent>(
  events: readonly SourcedEvent<Event>[],
  keyOf: (event: Event) => string,
): ReadonlyMap<string, SourcedEvent<Event>[]> {
  const groups = new Map<string, SourcedEvent<Event>[]>()
  for (const sourced of events) {
    const group = groups.get(keyOf(sourced.event))
    if (group === undefined) groups.set(keyOf(sourced.event), [sourced])
    else group.push(sourced)
  }
  return groups
}

/** Of two decisions about a run and table the later held. */
function mergeGuards(events: readonly SourcedEvent<GuardEvent>[]): NewMetadataRecord {
  const { target, payload, outcome } = lastEvent(events)
  return mergedRecord({ kind: guardDecision, target, payload, outcome, events, extras: { guard: payload.guard } })
}

function mergeChecks(events: readonly SourcedEvent<ReconEvent>[]): NewMetadataRecord {
  const { target, scope, window, payload, outcome, baselineRuns } = lastEvent(events)
  return mergedRecord({
    kind: reconResult,
    target,
    scope,
    window,
    payload,
    outcome,
    events,
    identity: [payload.check, payload.metric, ...(window === undefined ? [] : [window.start, window.end])],
    extras: { check: payload.check },
    ...(baselineRuns !== undefined && { links: { baselineRuns } }),
  })
}

/** Each is a fact of its own: schemas are compared over time. */
function mergeCatalog(sourced: SourcedEvent<CatalogEvent>): NewMetadataRecord {
  const { target, payload } = sourced.event
  return mergedRecord({ kind: schemaSnapshot, target, payload, events: [sourced] })
}

function lastEvent<Event extends GuardEvent | ReconEvent>(events: readonly SourcedEvent<Event>[]): Event {
  const last = events.at(-1)
  if (last === undefined) throw new Error('run: expected events to merge, got none')
  return last.event
}
