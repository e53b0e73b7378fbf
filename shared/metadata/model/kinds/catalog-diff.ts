import { z } from 'zod'
import { defineKind, FOR_EVER } from '../kind.ts'
import { longText, openEnum, sha256, text } from './payload-fields.ts'

const CHANGES_MAX = 1_000

const severity = z.enum(['breaking', 'warning', 'compatible', 'info'])

const payload = z
  .strictObject({
    from: sha256.describe('fingerprint of the accepted snapshot'),
    to: sha256.describe('fingerprint of the snapshot compared with it'),
    fingerprint: sha256.describe('of the difference: an override is bound to it'),
    severity: severity.describe('the worst of the changes'),
    changes: z
      .array(
        z.strictObject({
          change: openEnum([
            'table_dropped',
            'column_added',
            'column_removed',
            'column_renamed',
            'type_changed',
            'nullability_changed',
            'key_changed',
            'enum_changed',
            'default_changed',
            'comment_changed',
            'position_changed',
          ]),
          column: text.optional(),
          before: longText.optional(),
          after: longText.optional(),
          severity,
          reason: longText.optional(),
        }),
      )
      .min(1)
      .max(CHANGES_MAX),
  })
  .meta({ title: 'catalog_diff', description: 'Changes of a target since its accepted snapshot.' })

export type CatalogDiff = z.infer<typeof payload>

export const catalogDiff = defineKind<CatalogDiff>({
  kind: 'catalog_diff',
  versions: ['1.0'],
  payload,
  outcomes: null,
  hotDays: FOR_EVER,
  rollups: [],
  facets: ['severity'],
})
