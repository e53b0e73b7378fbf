import { z } from 'zod'
import { parseInstant } from '../../instant.ts'
import { type JsonValue, sample } from '../../json.ts'
import { instantText } from './instant-text.ts'
import { readJson } from './json-input.ts'
import type { MetadataKinds } from './kinds.ts'
import { QueryError, type RecordFilter, SERIES_MAX, type Series } from './repository.ts'

const name = z.string().max(256)
const target = z.object({ sourceId: name, schema: name, table: name })

const recordFilter = z.strictObject({
  kind: name.optional(),
  target: z.looseObject(target.shape).optional(),
  scope: name.optional(),
  runId: name.optional(),
  jobId: name.optional(),
  producerId: name.optional(),
  outcome: name.optional(),
  from: name.optional(),
  to: name.optional(),
  windowFrom: name.optional(),
  windowTo: name.optional(),
  extras: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
})

const TIMES = ['from', 'to', 'windowFrom', 'windowTo'] as const

/** What every repository makes of a series: names only, and '' for the whole target. Throws QueryError. */
export function normalSeries({ target: { sourceId, schema, table }, kind, scope = '' }: Series) {
  for (const [what, text] of Object.entries({ sourceId, schema, table, kind, scope })) {
    if (typeof text === 'string' && readJson(text).ok) continue
    throw new QueryError('invalid-query', `${what}: expected text that can be stored, got ${sample(text, 40)}`)
  }
  return { target: { sourceId, schema, table }, kind, scope }
}

/** Throws QueryError for more than one call may ask for. */
export function checkSeries(series: readonly Series[]): readonly Series[] {
  if (series.length <= SERIES_MAX) return series
  throw new QueryError('invalid-query', `series: expected at most ${SERIES_MAX}, got ${series.length}`)
}

/**
 * The same for a filter: instants of fixed width, extras as text, nothing that is undefined. Throws QueryError for what
 * is no filter, and for extras that the kind does not declare.
 */
export function normalFilter(input: RecordFilter, kinds: MetadataKinds) {
  const parsed = recordFilter.safeParse(jsonOf(input))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new QueryError('invalid-query', `filter ${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { target: named, extras, from, to, windowFrom, windowTo, ...texts } = parsed.data
  const given = { from, to, windowFrom, windowTo }
  const times: Partial<Record<(typeof TIMES)[number], string>> = {}
  for (const time of TIMES) {
    const text = given[time]
    if (text !== undefined) times[time] = normalTime(time, text)
  }
  const facets = Object.entries(extras ?? {}).map(([key, value]) => facetOf(key, value, texts.kind, kinds))
  const filter = {
    ...texts,
    ...times,
    ...(named && { target: { sourceId: named.sourceId, schema: named.schema, table: named.table } }),
    ...(facets.length > 0 && { facets: facets.sort() }),
  }
  return { filter, json: jsonOf(filter) }
}

export type NormalFilter = ReturnType<typeof normalFilter>['filter']

function jsonOf(value: unknown): JsonValue {
  const json = readJson(value)
  if (json.ok) return json.value
  const [error] = json.errors
  throw new QueryError('invalid-query', `filter${error?.pointer}: ${error?.detail}`)
}

function normalTime(what: string, text: string): string {
  const parsed = parseInstant(text)
  if (parsed !== undefined) return instantText(parsed)
  throw new QueryError('invalid-query', `${what}: expected an RFC 3339 instant, got ${sample(text, 40)}`)
}

function facetOf(name: string, value: unknown, kind: string | undefined, kinds: MetadataKinds): string {
  if (kind === undefined)
    throw new QueryError('invalid-query', `extras: expected a kind that declares ${name}, got none`)
  const declared = kinds.get(kind)?.facets ?? []
  if (declared.includes(name)) return `${name}=${String(value)}`
  const expected = declared.length === 0 ? 'none' : declared.join(', ')
  throw new QueryError('invalid-query', `extras of ${kind}: expected ${expected} to filter by, got ${sample(name, 40)}`)
}
