import { MICROS_PER_MS } from '../../instant.ts'
import { type IngestionRuntime, ingestionRuntime } from '../model/kinds/ingestion-runtime.ts'
import type { NewMetadataRecord } from '../model/record.ts'
import type { SliceEvent } from './import-event.ts'
import { linksOf } from './merge-volume.ts'
import { instantOf, mergedRecord } from './merged-record.ts'
import type { PlacedSlices } from './place-slices.ts'

/** How a run went, by its progress log; null where that does not say that anything ended. Manifests have no times. */
export function mergeRuntime({ target, events }: PlacedSlices): NewMetadataRecord | null {
  const logged = events.filter(({ event }) => event.event !== 'listed' && event.event !== 'planned')
  const told = logged.map(({ event }) => event)
  const ends = lastEnds(told)
  const finishedAt = told.filter(isEnd).at(-1)?.at
  if (finishedAt === undefined) return null
  const startedAt = told.find(({ event }) => event === 'started')?.at
  // What was told of the whole run decides; else one slice that failed at last is enough.
  const end = ends.get(undefined) ?? [...ends.values()].find(({ event }) => event === 'failed')
  const failed = end?.event === 'failed' ? end : undefined
  const retries = retriesOf(told)
  const payload: IngestionRuntime = {
    state: failed ? 'failed' : [...ends.values()].every(({ counts }) => counts?.records === 0) ? 'empty' : 'published',
    ...(startedAt !== undefined && { startedAt }),
    finishedAt,
    ...(startedAt !== undefined &&
      startedAt <= finishedAt && {
        durationMs: Number((instantOf(finishedAt) - instantOf(startedAt)) / MICROS_PER_MS),
      }),
    claims: retries + 1,
    retries,
    ...(failed && { error: { class: 'failed', ...(failed.error !== undefined && { summary: failed.error }) } }),
  }
  return mergedRecord({
    kind: ingestionRuntime,
    target,
    events: logged,
    payload,
    outcome: failed ? 'fail' : 'pass',
    links: linksOf(target, told),
  })
}

function isEnd({ event }: SliceEvent): boolean {
  return event === 'completed' || event === 'failed'
}

/** Of each slice. */
function lastEnds(told: readonly SliceEvent[]): ReadonlyMap<string | undefined, SliceEvent> {
  return new Map(told.filter(isEnd).map((event) => [event.slice, event]))
}

/** A log says that something was tried again, or only that it was started again. */
function retriesOf(told: readonly SliceEvent[]): number {
  const starts = told.filter(({ event }) => event === 'started')
  const startedAgain = starts.length - new Set(starts.map(({ slice }) => slice)).size
  return Math.max(told.filter(({ event }) => event === 'retried').length, startedAgain)
}
