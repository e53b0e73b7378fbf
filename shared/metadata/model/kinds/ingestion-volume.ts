import { z } from 'zod'
import { instant } from '../instant-text.ts'
import { defineKind, FREQUENT_DAYS } from '../kind.ts'
import { jsonObject } from '../record.ts'
import { count } from './payload-fields.ts'

const payload = z
  .strictObject({
    records: count.describe('records in raw'),
    inserted: count.describe('records that became rows of a new key'),
    updated: count.describe('records that took the place of an older row'),
    unchanged: count.describe('records equal to the row that was there'),
    superseded: count.describe('records older than the row that was there'),
    rejected: count.describe('records that do not fit their contract'),
    outside: count.describe('records outside the window'),
    bytes: count.describe('of the answers or the file, unpacked').optional(),
    pages: count.describe('raw pages').optional(),
    files: count.describe('curated files that hold rows of this run').optional(),
    filter: jsonObject.describe('what was asked for: parameters of the stream, or the version of a file').optional(),
    watermark: z
      .strictObject({ before: instant.optional(), after: instant.optional() })
      .describe('checkpoint of the stream before and after')
      .optional(),
  })
  .refine((volume) => volume.records === accountedFor(volume), {
    path: ['records'],
    message: 'expected records = inserted + updated + unchanged + superseded + rejected + outside',
  })
  .meta({ title: 'ingestion_volume', description: 'What one run brought: every record of raw is counted once.' })

export type IngestionVolume = z.infer<typeof payload>

export const ingestionVolume = defineKind<IngestionVolume>({
  kind: 'ingestion_volume',
  versions: ['1.0'],
  payload,
  outcomes: null,
  hotDays: FREQUENT_DAYS,
  rollups: ['records', 'inserted', 'updated', 'rejected', 'bytes'],
  facets: ['lane'],
})

type Outcomes = 'inserted' | 'updated' | 'unchanged' | 'superseded' | 'rejected' | 'outside'

function accountedFor(volume: Readonly<Record<Outcomes, number>>): number {
  const { inserted, updated, unchanged, superseded, rejected, outside } = volume
  return inserted + updated + unchanged + superseded + rejected + outside
}
