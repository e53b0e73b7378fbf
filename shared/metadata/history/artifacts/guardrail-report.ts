import { z } from 'zod'
import { longText, sha256 } from '../../model/kinds/payload-fields.ts'
import { defineArtifact } from './artifact.ts'
import { jobId, place, runId, targetOf, time } from './fields.ts'

const shape = z
  .object({
    run_id: runId,
    job_id: jobId,
    ...place,
    decision: z.enum(['pass', 'warn', 'block']),
    reasons: z.array(longText).max(100).default([]),
    fingerprint: sha256.describe('of the difference that was decided about').optional(),
    decided_at: time,
  })
  .meta({ title: 'guardrail report', description: 'Whether a run was let through to a table, and why.' })

export const guardrailReport = defineArtifact({
  artifact: 'guardrail',
  recognises: (value) => 'decision' in value,
  shape,
  eventsOf: ({ run_id, job_id, decision, reasons, fingerprint, decided_at, ...at }) => [
    {
      type: 'guard',
      run: run_id,
      ...(job_id !== undefined && { job: job_id }),
      target: targetOf(at),
      at: decided_at,
      outcome: decision,
      payload: { guard: 'ingestion', reasons, ...(fingerprint !== undefined && { fingerprint }) },
    },
  ],
})
