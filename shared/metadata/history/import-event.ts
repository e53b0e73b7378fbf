import { z } from 'zod'
import { canonicalJson, type JsonValue } from '../../json.ts'
import { sha256Hex } from '../../sha256.ts'
import { normalInstant } from '../model/instant-text.ts'
import { guardDecision } from '../model/kinds/guard-decision.ts'
import { count } from '../model/kinds/payload-fields.ts'
import { reconResult } from '../model/kinds/recon-result.ts'
import { schemaSnapshot } from '../model/kinds/schema-snapshot.ts'
import { jsonObject } from '../model/record.ts'

/** As metadata targets are named: no longer, and without control characters. */
export const name = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => !/\p{Cc}/u.test(text), 'expected text without control characters')

export const target = z.object({ sourceId: name, schema: name, table: name })
export const window = z
  .object({ start: normalInstant, end: normalInstant })
  .refine(({ start, end }) => start < end, 'expected the start before the end')

export const counts = z.object({
  records: count,
  inserted: count,
  updated: count,
  unchanged: count,
  superseded: count,
  rejected: count,
  outside: count,
  bytes: count.optional(),
  pages: count.optional(),
})

const told = {
  /** Of the run that it is about. */
  run: name,
  job: name.optional(),
  at: normalInstant,
}

/** What happened to a slice, or to the whole run; whose table it is may stand in another artifact. */
const sliceEvent = z.object({
  type: z.literal('slice'),
  ...told,
  target: target.optional(),
  parent: name.optional(),
  slice: name.optional(),
  event: z.enum(['planned', 'started', 'retried', 'completed', 'failed', 'listed']),
  window: window.optional(),
  counts: counts.optional(),
  filter: jsonObject.optional(),
  error: z.string().max(8_000).optional(),
})

const guardEvent = z.object({
  type: z.literal('guard'),
  ...told,
  target,
  outcome: z.string(),
  payload: guardDecision.payload,
})

const reconEvent = z.object({
  type: z.literal('recon'),
  ...told,
  target,
  scope: z.string().max(256),
  window: window.optional(),
  baselineRuns: z.array(name).max(90).optional(),
  outcome: z.string(),
  payload: reconResult.payload,
})

const catalogEvent = z.object({
  type: z.literal('catalog'),
  ...told,
  /** Collectors ran beside runs or as a part of one. */
  run: name.optional(),
  target,
  payload: schemaSnapshot.payload,
})

/** What artifacts tell, whichever they are. As it is kept in `metadata.import_event`. */
export const importEvent = z.discriminatedUnion('type', [sliceEvent, guardEvent, reconEvent, catalogEvent])

export type ImportEvent = z.output<typeof importEvent>
export type SliceEvent = z.output<typeof sliceEvent>
export type GuardEvent = z.output<typeof guardEvent>
export type ReconEvent = z.output<typeof reconEvent>
export type CatalogEvent = z.output<typeof catalogEvent>
export type Counts = z.output<typeof counts>

/** An event and the name of the artifact that told it. */
export type SourcedEvent<Event = ImportEvent> = { readonly event: Event; readonly source: string }

/**
 * Events of one of these are merged together. Names are at most 1 KiB, others hashed: the key of the table takes no
 * more than 2.7 KB.
 */
export function runKey(event: ImportEvent): string {
  if (event.type !== 'catalog') return `run/${event.run}`
  return `catalog/${hashOf([...named(event.target), event.at])}`
}

/** The run, as a person knows it. */
export function runOf(key: string): string {
  return key.startsWith('run/') ? key.slice('run/'.length) : key
}

/**
 * What an event is about and when: not what it says, and not the file and line where it stood. The window is a part of
 * it, so that what takes the place of an event never takes a window away.
 */
export function eventKey(event: ImportEvent): string {
  const { type, at } = event
  const place = event.target === undefined ? null : named(event.target)
  switch (event.type) {
    case 'slice':
      return hashOf([type, place, event.slice ?? null, event.event, at, ends(event)])
    case 'guard':
      return hashOf([type, place, event.payload.guard, at])
    case 'recon':
      return hashOf([type, place, event.scope, event.payload.check, event.payload.metric, at, ends(event)])
    case 'catalog':
      return hashOf([type, place, at])
  }
}

export function named({ sourceId, schema, table }: z.output<typeof target>): readonly [string, string, string] {
  return [sourceId, schema, table]
}

function ends({ window: told }: SliceEvent | ReconEvent): JsonValue {
  return told === undefined ? null : [told.start, told.end]
}

export function hashOf(parts: JsonValue): string {
  return sha256Hex(canonicalJson(parts))
}
