import { z } from 'zod'
import { defineKind, FREQUENT_DAYS } from '../kind.ts'
import { jsonObject } from '../record.ts'
import { count, longText, openEnum, sha256, text } from './payload-fields.ts'

const SCOPES_MAX = 500

const measured = z.number().nullable()
const limits = z.strictObject({ lo: measured.optional(), hi: measured.optional() })
const outcome = z.enum(['pass', 'warn', 'fail', 'insufficient_history', 'error'])

const payload = z
  .strictObject({
    check: openEnum([
      'raw_vs_curated',
      'source_vs_curated',
      'volume',
      'silence',
      'completeness',
      'uniqueness',
      'cross_source',
      'freshness',
      'runtime',
    ]),
    metric: text.describe('what was measured, with its unit'),
    observed: measured,
    expected: measured,
    thresholds: z
      .strictObject({ warn: limits.optional(), fail: limits.optional(), static: limits.optional() })
      .describe('static: the declared limits, beside those that variability made of them')
      .optional(),
    band: z
      .strictObject({
        method: text,
        mode: openEnum(['insufficient_history', 'learning', 'groups', 'mature']),
        points: count.describe('that the band was made of'),
        parameters: jsonObject,
        inputHash: sha256.describe('of the records it was made of'),
      })
      .optional(),
    scopesVisited: z
      .array(
        z.strictObject({
          scope: z.string().max(256),
          observed: measured,
          expected: measured,
          outcome,
          contribution: z.number().min(0).max(1).optional(),
        }),
      )
      .max(SCOPES_MAX)
      .optional(),
    stoppedReason: text.describe('why the drill-down went no deeper').optional(),
    detail: longText.optional(),
  })
  .meta({ title: 'recon_result', description: 'One check of one target. Runs that supplied a baseline are links.' })

export type ReconResult = z.infer<typeof payload>

export const reconResult = defineKind<ReconResult>({
  kind: 'recon_result',
  versions: ['1.0'],
  payload,
  outcomes: outcome.options,
  hotDays: FREQUENT_DAYS,
  rollups: ['observed'],
  facets: ['check'],
})
