import type { z } from 'zod'
import { normalInstant } from '../../model/instant-text.ts'
import { count } from '../../model/kinds/payload-fields.ts'
import { type Counts, name } from '../import-event.ts'

/** Properties that more than one artifact has. Properties that none names are ignored: others write more. */
export const runId = name.describe('the run, as the system that ran it names it')
export const jobId = name.describe('the job that the run was of').optional()
export const place = {
  source: name.describe('where the table lives: cluster or provider'),
  schema: name,
  table: name,
}
export const time = normalInstant.describe('RFC 3339 with a zone')

export const windowFields = {
  window_start: time.optional(),
  window_end: time.optional(),
}

export const countFields = {
  rows: count.describe('all rows of the slice').optional(),
  inserted: count.optional(),
  updated: count.optional(),
  unchanged: count.optional(),
  superseded: count.optional(),
  rejected: count.optional(),
  outside: count.optional(),
  bytes: count.optional(),
  pages: count.optional(),
}

type CountFields = { readonly [Name in keyof typeof countFields]?: number | undefined }
type WindowFields = { readonly window_start?: string | undefined; readonly window_end?: string | undefined }

/** Half a window, or one that ends before it starts, is none. */
export function checkWindow({ window_start: start, window_end: end }: WindowFields, context: z.RefinementCtx): void {
  if (start === undefined && end === undefined) return
  if (start !== undefined && end !== undefined && start < end) return
  context.addIssue({ code: 'custom', path: ['window_end'], message: 'expected a start and an end after it' })
}

export function checkCounts(fields: CountFields, context: z.RefinementCtx): void {
  if (fields.rows === undefined || partsOf(fields) <= fields.rows) return
  context.addIssue({ code: 'custom', path: ['rows'], message: `expected at least the sum of its parts` })
}

export function windowOf({ window_start: start, window_end: end }: WindowFields) {
  return start === undefined || end === undefined ? {} : { window: { start, end } }
}

/** Every row is counted once: of what is not told apart we say that it was inserted. Null where no rows are told. */
export function countsOf(fields: CountFields): Counts | null {
  const { rows, inserted = 0, updated = 0, unchanged = 0, superseded = 0, rejected = 0, outside = 0 } = fields
  if (rows === undefined) return null
  const { bytes, pages } = fields
  return {
    records: rows,
    inserted: inserted + rows - partsOf(fields),
    updated,
    unchanged,
    superseded,
    rejected,
    outside,
    ...(bytes !== undefined && { bytes }),
    ...(pages !== undefined && { pages }),
  }
}

function partsOf(fields: CountFields): number {
  const { inserted = 0, updated = 0, unchanged = 0, superseded = 0, rejected = 0, outside = 0 } = fields
  return inserted + updated + unchanged + superseded + rejected + outside
}

export function targetOf({ source, schema, table }: z.output<z.ZodObject<typeof place>>) {
  return { sourceId: source, schema, table }
}
