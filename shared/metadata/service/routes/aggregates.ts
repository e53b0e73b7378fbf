import { z } from 'zod'
import { needKind, optionalTarget, pageParameters, targetOf } from '../parameters.ts'
import { defineRoute, type Route } from '../route.ts'
import { targetName } from '../wire/records.ts'

const name = z.string().min(1).max(256)
const date = z.string().regex(/^\d{4}-\d\d-\d\d$/, 'expected a date YYYY-MM-DD')
const number = z.number().nullable()

const cell = z
  .object({
    target: targetName,
    kind: z.string(),
    scope: z.string(),
    metric: z.string().describe('a number of the payload; empty: the facts themselves'),
    grain: z.enum(['day', 'month']),
    bucket: date.describe('of the start of the windows, UTC'),
    count: z.int().describe('facts that have the number'),
    total: number,
    min: number,
    max: number,
    outcomes: z.record(z.string(), z.int()).describe('facts by outcome'),
  })
  .meta({ id: 'AggregateCell' })

const getAggregates = defineRoute({
  operationId: 'getAggregates',
  method: 'GET',
  path: '/aggregates',
  summary: 'Outcomes, timeouts and volumes by day or month. May be behind by what was stored in the last moments.',
  permission: 'records:read',
  query: z.strictObject({
    kind: name,
    grain: z.enum(['day', 'month']),
    from: date.describe('first bucket'),
    to: date.describe('bucket after the last'),
    ...optionalTarget,
    scope: z.string().max(256).optional(),
    metric: z.string().max(256).optional().describe('absent: all of them, and the facts themselves as an empty one'),
    ...pageParameters,
  }),
  answers: {
    200: {
      description: 'A page, by bucket, target, scope and metric.',
      schema: z.object({ cells: z.array(cell), next: z.string().nullable() }),
    },
  },
  problems: ['unknown-kind', 'malformed-cursor', 'cursor-mismatch'],
  async handle({ query, caller }, { kinds, repositoryOf }) {
    const { limit, cursor, sourceId, schema, table, ...asked } = query
    await needKind(kinds, asked.kind)
    const target = targetOf({ sourceId, schema, table })
    const page = await (await repositoryOf(caller.tenant)).aggregate({ ...asked, target }, { limit, after: cursor })
    return { status: 200, body: page }
  },
})

export const AGGREGATE_ROUTES: readonly Route[] = [getAggregates]
