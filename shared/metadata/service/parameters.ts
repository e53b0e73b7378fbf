import { z } from 'zod'
import type { KindBook } from '../model/kind-book.ts'
import { PAGE_LIMIT, PAGE_LIMIT_MAX, QueryError, type Series } from '../model/repository.ts'
import { ServiceError } from './problems.ts'

const name = z.string().min(1).max(256)

/** Names a target: all three of them, or none. */
export const targetParameters = { sourceId: name, schema: name, table: name }

export const optionalTarget = {
  sourceId: name.optional(),
  schema: name.optional(),
  table: name.optional(),
}

export const pageParameters = {
  limit: wholeNumber(1, PAGE_LIMIT_MAX).optional().describe(`${PAGE_LIMIT} if none is named`),
  cursor: z.string().max(8_000).optional().describe('`next` of the page before, with the same parameters'),
}

/** A number in a query. */
export function wholeNumber(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'expected a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`)
    .meta({ type: 'integer', minimum: min, maximum: max })
}

/** Undefined where none of the three is there. Throws QueryError where some are. */
export function targetOf(named: {
  readonly sourceId?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
}): Series['target'] | undefined {
  const { sourceId, schema, table } = named
  if (sourceId === undefined && schema === undefined && table === undefined) return undefined
  if (sourceId !== undefined && schema !== undefined && table !== undefined) return { sourceId, schema, table }
  throw new QueryError('invalid-query', 'target: expected sourceId, schema and table, got some of them')
}

/** Whether there is such a kind. Another instance may have registered it a moment ago: asks once more. */
export async function isKind(kinds: KindBook, kind: string): Promise<boolean> {
  if (kinds.known().has(kind)) return true
  await kinds.reload()
  return kinds.known().has(kind)
}

/** Throws ServiceError. */
export async function needKind(kinds: KindBook, kind: string): Promise<void> {
  if (await isKind(kinds, kind)) return
  throw new ServiceError('unknown-kind', `kind: expected one that GET /kinds lists, got ${kind.slice(0, 63)}`)
}
