import { z } from 'zod'
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
  time,
  windowFields,
  windowOf,
} from './fields.ts'

const shape = z
  .object({
    run_id: runId,
    job_id: jobId,
    parent_run_id: name.describe('the run that this one was a part of').optional(),
    ...place,
    source: place.source.optional(),
    schema: name.optional(),
    table: name
      .optional()
      .describe('with source and schema, or none of the three: then manifests say whose the slice is'),
    slice: name.describe('absent: the line is about the whole run').optional(),
    event: z.enum(['planned', 'started', 'retried', 'completed', 'failed']),
    ts: time,
    ...windowFields,
    ...countFields,
    error: z.string().max(8_000).optional(),
  })
  .superRefine((line, context) => {
    checkWindow(line, context)
    checkCounts(line, context)
    if (line.event === 'completed' && line.rows === undefined) {
      context.addIssue({ code: 'custom', path: ['rows'], message: 'expected the rows of what was completed' })
    }
    const parts = [line.source, line.schema, line.table].filter((part) => part !== undefined).length
    if (parts === 1 || parts === 2) {
      context.addIssue({ code: 'custom', path: ['table'], message: 'expected source, schema and table, or none' })
    }
  })
  .meta({
    title: 'progress line',
    description:
      'A line of an ingestion progress log (JSON lines). Only completed lines count rows; of a slice the last.',
  })

export const progressLine = defineArtifact({
  artifact: 'progress',
  recognises: (value) => 'event' in value && 'ts' in value,
  shape,
  eventsOf({ run_id, job_id, parent_run_id, source, schema, table, slice, event, ts, error, ...fields }) {
    const counts = event === 'completed' ? countsOf(fields) : null
    const named = source !== undefined && schema !== undefined && table !== undefined
    return [
      {
        type: 'slice',
        run: run_id,
        ...(job_id !== undefined && { job: job_id }),
        ...(parent_run_id !== undefined && { parent: parent_run_id }),
        ...(named && { target: { sourceId: source, schema, table } }),
        ...(slice !== undefined && { slice }),
        event,
        at: ts,
        ...windowOf(fields),
        ...(counts !== null && { counts }),
        ...(error !== undefined && { error }),
      },
    ]
  },
})
