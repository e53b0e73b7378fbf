import { guardDecision } from '../model/kinds/guard-decision.ts'

/** Overrides are `guard_decision` records of this producer, which none but their route writes as. */
export const OVERRIDE_PRODUCER = 'guard-override.v1'

const OVERRIDE_SCOPE = 'override/'

/** A series of its own per difference: the newest override of it counts, and the guard's own decisions stay latest. */
export function overrideScope(fingerprint: string): string {
  return `${OVERRIDE_SCOPE}${fingerprint}`
}

export function isOverride(record: {
  readonly kind: string
  readonly producerId: string
  readonly scope: string
}): boolean {
  if (record.kind !== guardDecision.kind) return false
  return record.producerId === OVERRIDE_PRODUCER || record.scope.startsWith(OVERRIDE_SCOPE)
}
