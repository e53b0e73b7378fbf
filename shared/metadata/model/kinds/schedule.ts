import { z } from 'zod'
import { instant } from '../instant-text.ts'
import { defineKind, FREQUENT_DAYS } from '../kind.ts'
import { count, text } from './payload-fields.ts'

const NEXT_RUNS_MAX = 100

const payload = z
  .strictObject({
    frequency: text.describe('a duration (15m) or an NCRONTAB expression'),
    zone: text.describe('IANA time zone of the expression').optional(),
    slaSeconds: count.describe('how far behind the head may be').optional(),
    nextRuns: z.array(instant).max(NEXT_RUNS_MAX).optional(),
    adherence: z
      .strictObject({ due: count, onTime: count, late: count, missed: count })
      .describe('runs of the window of the record')
      .optional(),
  })
  .meta({ title: 'schedule', description: 'How often a target is to be loaded, and how well that was kept.' })

export type Schedule = z.infer<typeof payload>

export const schedule = defineKind<Schedule>({
  kind: 'schedule',
  versions: ['1.0'],
  payload,
  outcomes: null,
  hotDays: FREQUENT_DAYS,
  rollups: [],
  facets: [],
})
