import { z } from 'zod'
import { optionalTarget, targetOf, wholeNumber } from '../parameters.ts'
import { ServiceError } from '../problems.ts'
import { LINEAGE_NODES_MAX, LINEAGE_STEPS_MAX, type LineageStart, readLineage } from '../read-lineage.ts'
import { defineRoute, type Route } from '../route.ts'
import { targetName } from '../wire/records.ts'

const node = z
  .object({
    id: z.string().describe('of this answer'),
    type: z.enum(['run', 'target']),
    runId: z.string().optional(),
    target: targetName.optional(),
    distance: z.int().describe('steps from the start'),
  })
  .meta({ id: 'LineageNode' })

const edge = z
  .object({
    from: z.string(),
    to: z.string(),
    rel: z.enum(['input', 'output', 'baseline', 'parent']),
    recordId: z.uuid().describe('that says so'),
  })
  .meta({ id: 'LineageEdge', description: 'The way of the data: input → run → output, baseline → run, parent → run.' })

const getLineage = defineRoute({
  operationId: 'getLineage',
  method: 'GET',
  path: '/lineage',
  summary: `What a run or a target was made of and went into: at most ${LINEAGE_STEPS_MAX} steps and ${LINEAGE_NODES_MAX} nodes.`,
  permission: 'records:read',
  query: z.strictObject({
    runId: z.string().min(1).max(256).optional().describe('a run, or else a target'),
    ...optionalTarget,
    direction: z.enum(['up', 'down', 'both']).default('both'),
    depth: wholeNumber(1, LINEAGE_STEPS_MAX).optional().describe(`${LINEAGE_STEPS_MAX} if none is named`),
  }),
  answers: {
    200: {
      description: 'Breadth-first from the start, which is the first node.',
      schema: z.object({
        nodes: z.array(node),
        edges: z.array(edge),
        truncated: z.boolean().describe('there is more: of nodes, of links, or of what 2 seconds sufficed for'),
      }),
    },
  },
  problems: ['no-record'],
  async handle({ query, caller }, { db }) {
    const { direction, depth = LINEAGE_STEPS_MAX } = query
    const directions = direction === 'both' ? (['up', 'down'] as const) : [direction]
    const found = await readLineage(db, caller.tenant, { start: startOf(query), directions, depth })
    if (found === null)
      throw new ServiceError('no-record', 'lineage: expected a run or target of this tenant, got none')
    return { status: 200, body: found }
  },
})

export const LINEAGE_ROUTES: readonly Route[] = [getLineage]

function startOf({
  runId,
  ...named
}: Parameters<typeof targetOf>[0] & { readonly runId?: string | undefined }): LineageStart {
  const target = targetOf(named)
  if (runId !== undefined && target === undefined) return { type: 'run', runId }
  if (runId === undefined && target !== undefined) return { type: 'target', target }
  throw new ServiceError('invalid-query', 'lineage: expected a run or a target, got both or neither')
}
