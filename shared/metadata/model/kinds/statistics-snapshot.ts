import { z } from 'zod'
import { defineKind, FOR_EVER } from '../kind.ts'
import { count, text } from './payload-fields.ts'

const COLUMNS_MAX = 5_000

const bound = z.union([z.number(), z.string().max(256)])

const payload = z
  .strictObject({
    rows: count,
    bytes: count.optional(),
    files: count.optional(),
    columns: z
      .array(
        z.strictObject({
          name: text,
          nulls: count.optional(),
          distinct: count.optional(),
          min: bound.describe('int64 and decimals as text').optional(),
          max: bound.describe('int64 and decimals as text').optional(),
        }),
      )
      .max(COLUMNS_MAX)
      .optional(),
  })
  .meta({ title: 'statistics_snapshot', description: 'How much a target held at one time.' })

export type StatisticsSnapshot = z.infer<typeof payload>

export const statisticsSnapshot = defineKind<StatisticsSnapshot>({
  kind: 'statistics_snapshot',
  versions: ['1.0'],
  payload,
  outcomes: null,
  hotDays: FOR_EVER,
  rollups: ['rows', 'bytes'],
  facets: [],
})
