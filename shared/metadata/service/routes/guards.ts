import { z } from 'zod'
import { formatInstant, MICROS_PER_DAY, parseInstant } from '../../../instant.ts'
import { canonicalJson } from '../../../json.ts'
import { sha256Hex } from '../../../sha256.ts'
import { buildRecord } from '../../model/build-record.ts'
import { instant } from '../../model/instant-text.ts'
import { guardDecision } from '../../model/kinds/guard-decision.ts'
import { checkGuard, currentFingerprint } from '../guard-check.ts'
import { OVERRIDE_PRODUCER, overrideScope } from '../guard-override.ts'
import { invalidBody } from '../input.ts'
import { ServiceError } from '../problems.ts'
import { recordError } from '../record-problem.ts'
import { BASE_PATH } from '../request.ts'
import { defineRoute, type Route } from '../route.ts'
import { instantOut, targetName } from '../wire/records.ts'

/** Whoever lets a break pass for longer than that should accept the schema. */
const OVERRIDE_DAYS_MAX = 90

const override = z.object({ actor: z.string(), reason: z.string(), expiresAt: instantOut }).meta({ id: 'Override' })

const verdict = z.object({
  decision: z.enum(['allow', 'warn', 'block']),
  reasons: z.array(z.string()),
  recordId: z.uuid().optional().describe('of the difference or decision that it rests on'),
  fingerprint: z.string().optional().describe('of the difference: an override is bound to it'),
  override: override.optional().describe('that lets it pass, and until when'),
})

const checkIngestion = defineRoute({
  operationId: 'checkIngestionGuard',
  method: 'POST',
  path: '/guards/ingestion/check',
  summary: 'Whether a target may be ingested, by the last difference of its schema and the last decision about it.',
  permission: 'guards:check',
  body: z.strictObject({ target: targetName }),
  answers: { 200: { description: 'The decision. A target that nothing is known of is allowed.', schema: verdict } },
  problems: [],
  async handle({ body, caller }, { db, clock }) {
    return { status: 200, body: await checkGuard(db, caller.tenant, body.target, clock()) }
  },
})

const overrideGuard = defineRoute({
  operationId: 'overrideGuard',
  method: 'POST',
  path: '/guards/overrides',
  summary: `Let one difference pass, at most ${OVERRIDE_DAYS_MAX} days. The next difference is judged again.`,
  permission: 'guards:override',
  body: z.strictObject({
    target: targetName,
    fingerprint: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits'),
    reason: z.string().trim().min(1).max(2_000),
    expiresAt: instant,
  }),
  answers: {
    201: { description: 'In force. It is a `guard_decision` record.', schema: override.extend({ recordId: z.uuid() }) },
    200: { description: 'The same was given before.', schema: override.extend({ recordId: z.uuid() }) },
  },
  problems: ['no-record', 'fingerprint-mismatch'],
  async handle({ body, caller }, { db, clock, repositoryOf, announce }) {
    const { target, fingerprint, reason } = body
    const now = clock()
    const expiresAt = expiryOf(body.expiresAt, now)
    const current = await currentFingerprint(db, caller.tenant, target)
    if (current === null) throw new ServiceError('no-record', 'target: expected a catalog_diff to override, got none')
    if (current !== fingerprint) {
      const detail = 'fingerprint: expected that of the last catalog_diff of the target, got another'
      throw new ServiceError('fingerprint-mismatch', { detail, fingerprint: current })
    }
    const given = { actor: caller.subject, reason, expiresAt }
    const result = await (await repositoryOf(caller.tenant)).store(
      buildRecord({
        kind: guardDecision,
        target,
        context: { namespace: 'guards' },
        scope: overrideScope(fingerprint),
        payload: { guard: 'ingestion', reasons: [reason], fingerprint, override: given },
        outcome: 'pass',
        producerId: OVERRIDE_PRODUCER,
        producedAt: now,
        // The same said twice is one override.
        key: sha256Hex(canonicalJson({ target, fingerprint, given })),
      }),
    )
    if (result.outcome === 'refused') throw recordError(result.problem, result.recordId)
    await announce()
    const { recordId } = result
    const headers = { Location: `${BASE_PATH}/records/${recordId}` }
    return { status: result.outcome === 'stored' ? 201 : 200, headers, body: { ...given, recordId } }
  },
})

export const GUARD_ROUTES: readonly Route[] = [checkIngestion, overrideGuard]

function expiryOf(text: string, now: bigint): string {
  const expiresAt = parseInstant(text)
  if (expiresAt !== undefined && expiresAt > now && expiresAt <= now + BigInt(OVERRIDE_DAYS_MAX) * MICROS_PER_DAY) {
    return formatInstant(expiresAt)
  }
  const detail = `expected an instant in the next ${OVERRIDE_DAYS_MAX} days, got ${text}`
  throw invalidBody([{ pointer: '/expiresAt', code: 'expiry', detail }])
}
