import { z } from 'zod'
import { instant } from '../instant-text.ts'
import { defineKind, FREQUENT_DAYS } from '../kind.ts'
import { longText, openEnum, sha256, text } from './payload-fields.ts'

const REASONS_MAX = 100

const payload = z
  .strictObject({
    guard: openEnum(['ingestion']),
    reasons: z.array(longText).max(REASONS_MAX),
    fingerprint: sha256.describe('of the difference that was decided about').optional(),
    failOpen: z.boolean().describe('decided without history, because the metadata could not be read').optional(),
    override: z
      .strictObject({ actor: text, reason: longText, expiresAt: instant })
      .describe('of a person, bound to the fingerprint')
      .optional(),
  })
  .meta({
    title: 'guard_decision',
    description: 'Whether a target may be worked on, and why. Outcome is the decision.',
  })

export type GuardDecision = z.infer<typeof payload>

export const guardDecision = defineKind<GuardDecision>({
  kind: 'guard_decision',
  versions: ['1.0'],
  payload,
  outcomes: ['pass', 'warn', 'block'],
  hotDays: FREQUENT_DAYS,
  rollups: [],
  facets: ['guard'],
})
