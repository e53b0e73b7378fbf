import type { z } from 'zod'
import { type FieldError, fieldErrors, pointerOf } from './problem.ts'
import type { NormalRecord } from './record.ts'

/** What a record says, as far as its kind has a word in it. */
export type Said = Pick<NormalRecord, 'payload' | 'outcome' | 'extras'>

/** A kind of record: what may be written as it, and what the platform does with it. */
export type MetadataKind = {
  readonly kind: string
  /** `major.minor`; every version that may be written, the newest last. Of a kind that may only be read: none. */
  readonly versions: readonly string[]
  /** All that is wrong with what a record of one of `versions` says; pointers into the record. */
  readonly check: (said: Said, version: string) => readonly FieldError[]
  /** Values of `outcome`; null: records of this kind have none. */
  readonly outcomes: readonly string[] | null
  /** Days before a record goes to the compacted files; null: never. */
  readonly hotDays: number | null
  /** Numbers of the payload that roll up by day and month. */
  readonly rollups: readonly string[]
  /** Names of extras that can be filtered by, at most four. */
  readonly facets: readonly string[]
}

/** One that comes with the platform. */
export type BuiltInKind<Payload = unknown> = MetadataKind & {
  /** Yields the documented JSON Schema. Closed: a property that it does not name is refused. */
  readonly payload: z.ZodType<Payload>
}

export const FACETS_MAX = 4
export const FACET_CHARS_MAX = 128

/** Kinds that come with every load, and those whose whole past is asked for. */
export const FREQUENT_DAYS = 90
export const FOR_EVER = null

export function defineKind<Payload>(spec: Omit<BuiltInKind<Payload>, 'check'>): BuiltInKind<Payload> {
  if (spec.facets.length > FACETS_MAX) {
    throw new Error(`kind ${spec.kind}: expected at most ${FACETS_MAX} extras to filter by, got ${spec.facets.length}`)
  }
  const check = (said: Said): readonly FieldError[] => {
    const payload = spec.payload.safeParse(said.payload)
    return [...declaredErrors(said, spec), ...(payload.success ? [] : fieldErrors(payload.error, ['payload']))]
  }
  return { ...spec, check }
}

type Declared = Pick<MetadataKind, 'kind' | 'outcomes' | 'facets'>

/** Of outcome and extras, which stand beside the payload. */
export function declaredErrors(said: Said, declared: Declared): readonly FieldError[] {
  return [...outcomeErrors(said, declared), ...facetErrors(said, declared)]
}

function outcomeErrors({ outcome }: Said, { kind, outcomes }: Declared): FieldError[] {
  const at = (detail: string) => [{ pointer: '/outcome', code: 'outcome', detail }]
  if (outcomes === null) return outcome === undefined ? [] : at(`expected none for ${kind}, got ${outcome}`)
  if (outcome !== undefined && outcomes.includes(outcome)) return []
  return at(`expected one of ${outcomes.join(', ')}, got ${outcome ?? 'none'}`)
}

function facetErrors({ extras }: Said, { facets }: Declared): FieldError[] {
  return facets.flatMap((name) => {
    const value = extras?.[name]
    if (value === undefined || isFacet(value)) return []
    const detail = `expected text, a number or a boolean of at most ${FACET_CHARS_MAX} characters to filter by`
    return [{ pointer: pointerOf(['extras', name]), code: 'facet', detail }]
  })
}

/** Whether it can be filtered by. */
export function isFacet(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value) && String(value).length <= FACET_CHARS_MAX
}
