import { createHash } from 'node:crypto'
import { z } from 'zod'
import { canonicalJson } from '../../../json.ts'
import { defineKind, FOR_EVER } from '../kind.ts'
import { longText, openEnum, sha256, text } from './payload-fields.ts'

const COLUMNS_MAX = 5_000

const column = z.strictObject({
  name: text,
  type: text.describe('as the place spells it, canonical where it has several spellings'),
  nullable: z.boolean().optional(),
  key: z.boolean().describe('part of the primary key').optional(),
  default: longText.optional(),
  comment: longText.optional(),
})

const payload = z
  .strictObject({
    place: openEnum(['postgres', 'parquet', 'json', 'csv']).describe('where the columns were found'),
    fingerprint: sha256.describe('of the columns as canonical JSON (RFC 8785), in their order'),
    columns: z.array(column).min(1).max(COLUMNS_MAX).describe('in their order'),
    suspect: z.boolean().describe('half of the columns were gone at once: not to be compared with').optional(),
  })
  .refine((snapshot) => snapshot.fingerprint === schemaFingerprint(snapshot.columns), {
    path: ['fingerprint'],
    message: 'expected the SHA-256 of the columns',
  })
  .meta({ title: 'schema_snapshot', description: 'Columns of a target, as they were at one time.' })

export type SchemaSnapshot = z.infer<typeof payload>
export type SchemaColumn = z.infer<typeof column>

export const schemaSnapshot = defineKind<SchemaSnapshot>({
  kind: 'schema_snapshot',
  versions: ['1.0'],
  payload,
  outcomes: null,
  hotDays: FOR_EVER,
  rollups: [],
  facets: [],
})

/** Equal columns in an equal order have equal fingerprints, whoever collected them. */
export function schemaFingerprint(columns: readonly SchemaColumn[]): string {
  const json = columns.map(({ name, type, nullable, key, default: value, comment }) => ({
    name,
    type,
    ...(nullable === undefined ? {} : { nullable }),
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { default: value }),
    ...(comment === undefined ? {} : { comment }),
  }))
  return createHash('sha256').update(canonicalJson(json)).digest('hex')
}
