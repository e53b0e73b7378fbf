import { z } from 'zod'
import { jsonObject } from '../../model/record.ts'
import { name } from '../import-event.ts'
import { defineArtifact } from './artifact.ts'
import {
  checkCounts,
  checkWindow,
  countFields,
  countsOf,
  jobId,
  place,
  runId,
  targetOf,
  time,
  windowFields,
  windowOf,
} from './fields.ts'

const SLICES_MAX = 20_000

const shape = z
  .object({
    run_id: runId,
    job_id: jobId,
    parent_run_id: name.describe('the run that this one was a part of').optional(),
    ...place,
    created_at: time.describe('when the manifest was written: of two of a slice the later holds'),
    filter: jsonObject.describe('what was asked for').optional(),
    slices: z
      .array(
        z
          .object({ slice: name, ...windowFields, ...countFields })
          .superRefine(checkWindow)
          .superRefine(checkCounts),
      )
      .min(1)
      .max(SLICES_MAX)
      .describe('rows absent: the slice was only planned'),
  })
  .meta({ title: 'slice manifest', description: 'The slices of one run of one table, with their windows and counts.' })

export const sliceManifest = defineArtifact({
  artifact: 'manifest',
  recognises: (value) => 'slices' in value,
  shape,
  eventsOf: ({ run_id, job_id, parent_run_id, created_at, filter, slices, ...at }) =>
    slices.map(({ slice, ...fields }) => {
      const counts = countsOf(fields)
      return {
        type: 'slice',
        run: run_id,
        ...(job_id !== undefined && { job: job_id }),
        ...(parent_run_id !== undefined && { parent: parent_run_id }),
        target: targetOf(at),
        slice,
        // Another event than that of a log: it says nothing about when the slice was worked on.
        event: counts === null ? 'planned' : 'listed',
        at: created_at,
        ...windowOf(fields),
        ...(counts !== null && { counts }),
        ...(filter !== undefined && { filter }),
      }
    }),
})
