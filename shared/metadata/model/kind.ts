import type { z } from 'zod'

/** A kind of record: what its payload holds, and what the platform does with it. */
export type MetadataKind<Payload = unknown> = {
  readonly kind: string
  /** `major.minor`; every version that may be written, the newest last. */
  readonly versions: readonly string[]
  /** Yields the documented JSON Schema. Closed: a property that it does not name is refused. */
  readonly payload: z.ZodType<Payload>
  /** Values of `outcome`; null: records of this kind have none. */
  readonly outcomes: readonly string[] | null
  /** Days before a record goes to the compacted files; null: never. */
  readonly hotDays: number | null
  /** Numbers of the payload that roll up by day and month. */
  readonly rollups: readonly string[]
  /** Names of extras that can be filtered by, at most four. */
  readonly facets: readonly string[]
}

export const FACETS_MAX = 4
export const FACET_CHARS_MAX = 128

/** Kinds that come with every load, and those whose whole past is asked for. */
export const FREQUENT_DAYS = 90
export const FOR_EVER = null

export function defineKind<Payload>(spec: MetadataKind<Payload>): MetadataKind<Payload> {
  if (spec.facets.length > FACETS_MAX) {
    throw new Error(`kind ${spec.kind}: expected at most ${FACETS_MAX} extras to filter by, got ${spec.facets.length}`)
  }
  return spec
}
