import { z } from 'zod'
import { parseDate } from '../../instant.ts'
import { sample } from '../../json.ts'
import { readJson } from './json-input.ts'
import { type AggregateCell, type AggregateQuery, QueryError } from './repository.ts'

const name = z.string().max(256)
// PostgreSQL knows no year 0.
const date = z.string().refine((text) => parseDate(text) !== undefined && text >= '0001', 'expected a date YYYY-MM-DD')

const aggregateQuery = z.strictObject({
  kind: name,
  grain: z.enum(['day', 'month']),
  from: date,
  to: date,
  target: z.looseObject({ sourceId: name, schema: name, table: name }).optional(),
  scope: name.optional(),
  metric: name.optional(),
})

/** What every repository makes of the query: names only, nothing that is undefined. Throws QueryError. */
export function normalAggregate(input: AggregateQuery) {
  const json = readJson(input)
  if (!json.ok) {
    const [error] = json.errors
    throw new QueryError('invalid-query', `aggregate${error?.pointer}: ${error?.detail}`)
  }
  const parsed = aggregateQuery.safeParse(json.value)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = issue?.path[0]
    const value = field === undefined ? '' : `, got ${sample(Reflect.get(input, field), 40)}`
    throw new QueryError('invalid-query', `aggregate ${issue?.path.join('.')}: ${issue?.message}${value}`)
  }
  const { target: named, scope, metric, ...rest } = parsed.data
  return {
    ...rest,
    ...(named && { target: { sourceId: named.sourceId, schema: named.schema, table: named.table } }),
    ...(scope !== undefined && { scope }),
    ...(metric !== undefined && { metric }),
  }
}

export type NormalAggregate = ReturnType<typeof normalAggregate>

/** Where a cell stands in the order of a page: bucket, target, scope, metric. Of texts, compared by code unit. */
export function cellPosition({ bucket, target, scope, metric }: AggregateCell): readonly string[] {
  return [bucket, target.sourceId, target.schema, target.table, scope, metric]
}
