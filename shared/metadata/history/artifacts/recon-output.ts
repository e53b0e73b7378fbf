import { z } from 'zod'
import { longText, text } from '../../model/kinds/payload-fields.ts'
import { reconResult } from '../../model/kinds/recon-result.ts'
import { name } from '../import-event.ts'
import { defineArtifact } from './artifact.ts'
import { checkWindow, jobId, place, runId, targetOf, time, windowFields, windowOf } from './fields.ts'

const OUTCOMES = ['pass', 'warn', 'fail', 'insufficient_history', 'error'] as const
const CHECKS = [
  'raw_vs_curated',
  'source_vs_curated',
  'volume',
  'silence',
  'completeness',
  'uniqueness',
  'cross_source',
  'freshness',
  'runtime',
] as const

const shape = z
  .object({
    run_id: runId,
    job_id: jobId,
    ...place,
    check: z.enum(CHECKS),
    metric: text.describe('what was measured, with its unit'),
    scope: z
      .string()
      .max(256)
      .refine((path) => !/\p{Cc}/u.test(path), 'expected text without control characters')
      .default('')
      .describe('the drill-down path; absent: the whole table'),
    outcome: z.enum(OUTCOMES),
    observed: z.number().nullable().default(null),
    expected: z.number().nullable().default(null),
    checked_at: time,
    ...windowFields,
    baseline_runs: z.array(name).max(90).describe('runs whose figures were compared with').optional(),
    detail: longText.optional(),
  })
  .superRefine(checkWindow)
  .meta({ title: 'recon output', description: `One check of one table, as a ${reconResult.kind}.` })

export const reconOutput = defineArtifact({
  artifact: 'recon',
  recognises: (value) => 'check' in value,
  shape,
  eventsOf({ run_id, job_id, check, metric, scope, outcome, observed, expected, checked_at, ...rest }) {
    const { baseline_runs, detail } = rest
    return [
      {
        type: 'recon',
        run: run_id,
        ...(job_id !== undefined && { job: job_id }),
        target: targetOf(rest),
        at: checked_at,
        scope,
        ...windowOf(rest),
        ...(baseline_runs !== undefined && { baselineRuns: baseline_runs }),
        outcome,
        payload: { check, metric, observed, expected, ...(detail !== undefined && { detail }) },
      },
    ]
  },
})
