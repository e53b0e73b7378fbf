import type { Instant } from '../../instant.ts'
import { parseInstant } from '../../instant.ts'
import { buildRecord, type RecordParts } from '../model/build-record.ts'
import type { NewMetadataRecord } from '../model/record.ts'
import { hashOf, type ImportEvent, named, runKey, type SourcedEvent } from './import-event.ts'
import { compareTexts, lastOf } from './order.ts'

export const IMPORT_PRODUCER = 'import.v1'

/** Of a record that a thousand files tell of, the first in their order stand for all. */
const SOURCES_MAX = 100
const SOURCE_CHARS_MAX = 512

type MergedParts<Payload> = Pick<
  RecordParts<Payload>,
  'kind' | 'target' | 'payload' | 'scope' | 'outcome' | 'links' | 'extras'
> & {
  /** In their order, at least one. */
  readonly events: readonly SourcedEvent[]
  readonly window?: { readonly start: string; readonly end: string } | undefined
  /** What else names the fact beside kind, run, target and scope. */
  readonly identity?: readonly string[]
}

/**
 * What the events of one run say in one kind, as of the last of them. The key names the fact: its window grows when
 * more is found, and would make another fact of it.
 */
export function mergedRecord<Payload>(parts: MergedParts<Payload>): NewMetadataRecord {
  const { events, window, identity = [], extras, scope = '', ...rest } = parts
  const told = events.map(({ event }) => event)
  const last = told.at(-1)
  if (last === undefined) throw new Error(`${rest.kind.kind}: expected events to merge, got none`)
  const jobId = lastOf(told, ({ job }) => job)
  return buildRecord({
    ...rest,
    ...(scope !== '' && { scope }),
    context: {
      namespace: 'history',
      ...(last.run !== undefined && { runId: last.run }),
      ...(jobId !== undefined && { jobId }),
    },
    producerId: IMPORT_PRODUCER,
    producedAt: instantOf(last.at),
    quality: 'backfilled',
    ...(window && { window: { start: instantOf(window.start), end: instantOf(window.end) } }),
    extras: { ...extras, ...provenance(events) },
    key: hashOf([rest.kind.kind, named(rest.target), scope, runKey(last), ...identity]),
  })
}

export function instantOf(text: string): Instant {
  const instant = parseInstant(text)
  if (instant === undefined) throw new Error(`import event: expected an instant, got ${text}`)
  return instant
}

function provenance(events: readonly SourcedEvent<ImportEvent>[]) {
  const sources = [...new Set(events.map(({ source }) => source.slice(0, SOURCE_CHARS_MAX)))].sort(compareTexts)
  return {
    original_source: sources.slice(0, SOURCES_MAX),
    ...(sources.length > SOURCES_MAX && { original_sources: sources.length }),
  }
}
