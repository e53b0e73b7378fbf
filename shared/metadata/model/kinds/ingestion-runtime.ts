import { z } from 'zod'
import { instant } from '../instant-text.ts'
import { defineKind, FREQUENT_DAYS } from '../kind.ts'
import { count, longText, openEnum, text } from './payload-fields.ts'

const payload = z
  .strictObject({
    state: openEnum(['published', 'empty', 'failed', 'quarantined']).describe('in which the run ended'),
    startedAt: instant.describe('first claim of the run').optional(),
    finishedAt: instant,
    durationMs: count.describe('from the first claim to the end, pauses between attempts too').optional(),
    claims: count.describe('how often a worker took the run'),
    retries: count.describe('claims beyond those of an undisturbed run, also those that were given back'),
    transformVersion: count.optional(),
    error: z
      .strictObject({ class: text, summary: longText.optional() })
      .describe('why it ended without being published')
      .optional(),
  })
  .meta({ title: 'ingestion_runtime', description: 'How one run went, from its first claim to its end.' })

export type IngestionRuntime = z.infer<typeof payload>

export const ingestionRuntime = defineKind<IngestionRuntime>({
  kind: 'ingestion_runtime',
  versions: ['1.0'],
  payload,
  outcomes: ['pass', 'fail'],
  hotDays: FREQUENT_DAYS,
  rollups: ['durationMs', 'retries'],
  facets: ['lane'],
})
