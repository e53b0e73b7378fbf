import { z } from 'zod'
import { type Instant, parseInstant } from '../../instant.ts'
import type { Queryable } from '../../postgres/database.ts'
import { catalogDiff } from '../model/kinds/catalog-diff.ts'
import { guardDecision } from '../model/kinds/guard-decision.ts'
import type { MetadataRecord } from '../model/record.ts'
import type { Series } from '../model/repository.ts'
import { readLatestOfMany } from '../postgres/latest-of-many.ts'
import { OVERRIDE_PRODUCER, overrideScope } from './guard-override.ts'

export type GuardVerdict = {
  readonly decision: 'allow' | 'warn' | 'block'
  readonly reasons: readonly string[]
  /** What was decided about: a difference, or a decision of the guard. */
  readonly recordId?: string
  readonly fingerprint?: string
  readonly override?: { readonly actor: string; readonly reason: string; readonly expiresAt: string }
}

const REASONS_MAX = 100

// Open, as every reader is: what a later version adds is not looked at.
const difference = z.looseObject({
  fingerprint: z.string(),
  severity: z.string(),
  changes: z.array(
    z.looseObject({
      change: z.string(),
      severity: z.string(),
      column: z.string().optional(),
      before: z.string().optional(),
      after: z.string().optional(),
      reason: z.string().optional(),
    }),
  ),
})

const decided = z.looseObject({
  guard: z.string(),
  reasons: z.array(z.string()),
  fingerprint: z.string().optional(),
  override: z.looseObject({ actor: z.string(), reason: z.string(), expiresAt: z.string() }).optional(),
})

const BY_OUTCOME: ReadonlyMap<string | undefined, GuardVerdict['decision']> = new Map([
  ['pass', 'allow'],
  ['warn', 'warn'],
])

/**
 * What the guard of ingestion says about a target: its last decision, unless a difference came after it; then the
 * difference itself, of which what breaks readers blocks. An override lets pass what it is bound to, until it expires.
 */
export async function checkGuard(
  db: Queryable,
  tenant: string,
  target: Series['target'],
  now: Instant,
): Promise<GuardVerdict> {
  const series = [catalogDiff.kind, guardDecision.kind].map((kind) => ({ target, kind }))
  const [diff, decision] = await readLatestOfMany(db, tenant, series)
  const verdict = verdictOf(diff?.record ?? null, decision?.record ?? null)
  if (verdict.decision === 'allow' || verdict.fingerprint === undefined) return verdict
  const override = await findOverride(db, tenant, target, verdict.fingerprint, now)
  return override === null ? verdict : { ...verdict, decision: 'allow', override }
}

/** Fingerprint of the difference that the target has now. */
export async function currentFingerprint(
  db: Queryable,
  tenant: string,
  target: Series['target'],
): Promise<string | null> {
  const [diff] = await readLatestOfMany(db, tenant, [{ target, kind: catalogDiff.kind }])
  return diff ? difference.parse(diff.record.payload).fingerprint : null
}

function verdictOf(diff: MetadataRecord | null, decision: MetadataRecord | null): GuardVerdict {
  const payload = decision === null ? null : decided.parse(decision.payload)
  const isOfGuard = decision !== null && payload !== null && payload.guard === 'ingestion'
  const found = diff === null ? null : { diff, ...difference.parse(diff.payload) }
  // A decision about this difference stands, whenever it was made; else the later one of the two does.
  if (isOfGuard && (found === null || payload.fingerprint === found.fingerprint || isAfter(decision, found.diff))) {
    return {
      decision: BY_OUTCOME.get(decision.outcome) ?? 'block',
      reasons: payload.reasons.slice(0, REASONS_MAX),
      recordId: decision.recordId,
      ...(payload.fingerprint !== undefined && { fingerprint: payload.fingerprint }),
    }
  }
  if (found === null) return { decision: 'allow', reasons: [] }
  const grave = found.changes.filter(({ severity }) => severity !== 'compatible' && severity !== 'info')
  return {
    decision: decisionOn(found.severity),
    reasons: grave.slice(0, REASONS_MAX).map(reasonOf),
    recordId: found.diff.recordId,
    fingerprint: found.fingerprint,
  }
}

/** A severity that this version does not know is not let through. */
function decisionOn(severity: string): GuardVerdict['decision'] {
  if (severity === 'compatible' || severity === 'info') return 'allow'
  return severity === 'warning' ? 'warn' : 'block'
}

function isAfter(a: MetadataRecord, b: MetadataRecord): boolean {
  if (a.effectiveAt !== b.effectiveAt) return a.effectiveAt > b.effectiveAt
  return a.recordId > b.recordId
}

function reasonOf(change: z.output<typeof difference>['changes'][number]): string {
  const { change: what, severity, column, before, after, reason } = change
  const parts = [`${severity}: ${what}`, column]
  if (before !== undefined || after !== undefined) parts.push(`${before ?? 'none'} → ${after ?? 'none'}`)
  const text = parts.filter(Boolean).join(' ')
  return reason === undefined ? text : `${text} (${reason})`
}

async function findOverride(
  db: Queryable,
  tenant: string,
  target: Series['target'],
  fingerprint: string,
  now: Instant,
): Promise<NonNullable<GuardVerdict['override']> | null> {
  const scope = overrideScope(fingerprint)
  const [found] = await readLatestOfMany(db, tenant, [{ target, kind: guardDecision.kind, scope }])
  if (!found || found.record.producerId !== OVERRIDE_PRODUCER) return null
  const { override, fingerprint: boundTo } = decided.parse(found.record.payload)
  if (override === undefined || boundTo !== fingerprint) return null
  const expiresAt = parseInstant(override.expiresAt)
  return expiresAt !== undefined && now < expiresAt ? override : null
}
