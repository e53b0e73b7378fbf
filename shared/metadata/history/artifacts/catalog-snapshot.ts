import { z } from 'zod'
import { longText, text } from '../../model/kinds/payload-fields.ts'
import { schemaFingerprint } from '../../model/kinds/schema-snapshot.ts'
import { defineArtifact } from './artifact.ts'
import { jobId, place, runId, targetOf, time } from './fields.ts'

const COLUMNS_MAX = 5_000

const shape = z
  .object({
    run_id: runId.optional(),
    job_id: jobId,
    ...place,
    place: z.enum(['postgres', 'parquet', 'json', 'csv']).describe('where the columns were found'),
    taken_at: time,
    columns: z
      .array(
        z.object({
          name: text,
          type: text,
          nullable: z.boolean().optional(),
          key: z.boolean().describe('part of the primary key').optional(),
          default: longText.optional(),
          comment: longText.optional(),
        }),
      )
      .min(1)
      .max(COLUMNS_MAX)
      .describe('in their order'),
  })
  .meta({ title: 'catalog snapshot', description: 'The columns of one table at one time.' })

export const catalogSnapshot = defineArtifact({
  artifact: 'catalog',
  recognises: (value) => 'columns' in value,
  shape,
  eventsOf: ({ run_id, job_id, taken_at, columns, place: found, ...at }) => [
    {
      type: 'catalog',
      ...(run_id !== undefined && { run: run_id }),
      ...(job_id !== undefined && { job: job_id }),
      target: targetOf(at),
      at: taken_at,
      payload: { place: found, fingerprint: schemaFingerprint(columns), columns },
    },
  ],
})
