import { z } from 'zod'
import { PROBLEM_TYPES } from '../problems.ts'

const fieldError = z.object({
  pointer: z.string().describe('JSON pointer (RFC 6901) into the record, or into the body of another request'),
  code: z.string(),
  detail: z.string(),
})

/** RFC 9457. */
export const problemDocument = z
  .object({
    type: z.string().describe('a reference to what describes it'),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string(),
    instance: z.string().optional().describe('the id under which the log knows this request'),
    retriable: z.boolean().describe('the same request may succeed later'),
    errors: z.array(fieldError).optional(),
    missing: z.string().optional().describe('a permission'),
    recordId: z.uuid().optional().describe('what is stored instead'),
    fingerprint: z.string().optional().describe('of the difference that the target has now'),
    differences: z.array(z.unknown()).optional().describe('between schemas'),
    log: z.string().nullable().optional().describe('the hour of the log to go on from; null: its beginning'),
  })
  .meta({ id: 'Problem' })

/** What a problem type says of itself. */
export const problemType = z.object({
  code: z.enum(PROBLEM_TYPES),
  title: z.string(),
  status: z.int(),
  retriable: z.boolean(),
})
