import { z } from 'zod'

/** What the service answers beside records, as a reader takes it: open to what a newer service adds. */
const text = z.string()
const target = z.object({ sourceId: text, schema: text, table: text })

const number = z.number().nullable()

export const aggregatePage = z.object({
  cells: z.array(
    z.object({
      target,
      kind: text,
      scope: text,
      metric: text,
      grain: z.enum(['day', 'month']),
      bucket: text,
      count: z.int(),
      total: number,
      min: number,
      max: number,
      outcomes: z.record(text, z.int()),
    }),
  ),
  next: text.nullable(),
})

export const lineageAnswer = z.object({
  nodes: z.array(
    z.object({
      id: text,
      type: z.enum(['run', 'target']),
      runId: text.optional(),
      target: target.optional(),
      distance: z.int(),
    }),
  ),
  edges: z.array(
    z.object({ from: text, to: text, rel: z.enum(['input', 'output', 'baseline', 'parent']), recordId: text }),
  ),
  truncated: z.boolean(),
})
export type LineageAnswer = z.output<typeof lineageAnswer>

export const kindsAnswer = z.object({
  kinds: z.array(
    z.object({
      kind: text,
      builtIn: z.boolean(),
      versions: z.array(z.object({ version: text, state: text, sunsetAt: text.nullable() })),
    }),
  ),
})
export type KindSummary = z.output<typeof kindsAnswer>['kinds'][number]

/** RFC 9457; the code is the last part of its type. */
export const problemAnswer = z.object({
  type: text,
  detail: text,
  retriable: z.boolean().default(false),
  errors: z.array(z.object({ pointer: text, code: text, detail: text })).default([]),
  recordId: text.optional(),
})
export type ProblemAnswer = z.output<typeof problemAnswer>

export const storeAnswers = z.object({
  results: z.array(
    z.discriminatedUnion('outcome', [
      z.object({ outcome: z.literal('stored'), recordId: text }),
      z.object({ outcome: z.literal('replayed'), recordId: text }),
      z.object({ outcome: z.literal('refused'), problem: problemAnswer }),
    ]),
  ),
})
export type StoreAnswer = z.output<typeof storeAnswers>['results'][number]
