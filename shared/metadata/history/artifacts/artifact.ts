import type { z } from 'zod'
import type { JsonObject } from '../../model/json-input.ts'
import type { ImportEvent } from '../import-event.ts'
import type { Artifact } from '../import-summary.ts'

/** One shape of JSON object that others left behind, and what it tells. */
export type ArtifactFormat = {
  readonly artifact: Artifact
  /** By the properties that no other artifact has. */
  readonly recognises: (value: JsonObject) => boolean
  /** Yields the documented JSON Schema. */
  readonly shape: z.ZodType
  readonly read: (value: JsonObject) => ReadArtifact
}

export type ReadArtifact =
  | { readonly ok: true; readonly events: readonly ImportEvent[] }
  | { readonly ok: false; readonly error: z.ZodError }

type FormatSpec<Shape extends z.ZodType> = Pick<ArtifactFormat, 'artifact' | 'recognises'> & {
  readonly shape: Shape
  readonly eventsOf: (value: z.output<Shape>) => readonly ImportEvent[]
}

export function defineArtifact<Shape extends z.ZodType>(spec: FormatSpec<Shape>): ArtifactFormat {
  const { artifact, recognises, shape, eventsOf } = spec
  return {
    artifact,
    recognises,
    shape,
    read(value) {
      const parsed = shape.safeParse(value)
      return parsed.success ? { ok: true, events: eventsOf(parsed.data) } : { ok: false, error: parsed.error }
    },
  }
}
