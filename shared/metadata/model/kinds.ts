import { z } from 'zod'
import type { JsonObject } from './json-input.ts'
import type { BuiltInKind, MetadataKind } from './kind.ts'
import { catalogDiff } from './kinds/catalog-diff.ts'
import { guardDecision } from './kinds/guard-decision.ts'
import { ingestionRuntime } from './kinds/ingestion-runtime.ts'
import { ingestionVolume } from './kinds/ingestion-volume.ts'
import { reconResult } from './kinds/recon-result.ts'
import { schedule } from './kinds/schedule.ts'
import { schemaSnapshot } from './kinds/schema-snapshot.ts'
import { statisticsSnapshot } from './kinds/statistics-snapshot.ts'

export type MetadataKinds = ReadonlyMap<string, MetadataKind>
export type BuiltInKinds = ReadonlyMap<string, BuiltInKind>

/** Kinds that come with the platform. */
export const KINDS: BuiltInKinds = new Map<string, BuiltInKind>(
  [
    ingestionVolume,
    ingestionRuntime,
    reconResult,
    schemaSnapshot,
    statisticsSnapshot,
    catalogDiff,
    guardDecision,
    schedule,
  ].map((kind) => [kind.kind, kind]),
)

/** JSON Schema 2020-12 of a kind's payload. What one property asks of another is in its description only. */
export function payloadSchema({ payload }: BuiltInKind): JsonObject {
  const schema = z.toJSONSchema(payload, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' })
  return JSON.parse(JSON.stringify(schema)) as JsonObject
}
