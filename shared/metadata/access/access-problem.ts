import type { Caller } from './caller.ts'

/** Why a caller is not let through. Nothing of a secret stands in it. */
export type AccessProblem = {
  readonly status: 401 | 403 | 429
  readonly code:
    | 'unauthenticated'
    | 'token-expired'
    | 'permission-missing'
    | 'producer-not-allowed'
    | 'no-tenant'
    | 'rate-limited'
  readonly detail: string
  readonly retryAfterS?: number
  /** The permission or producer id that would have been needed. */
  readonly missing?: string
}

export type Authenticated =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly problem: AccessProblem }

export function unauthenticated(detail: string): AccessProblem {
  return { status: 401, code: 'unauthenticated', detail }
}

export function expired(detail: string): AccessProblem {
  return { status: 401, code: 'token-expired', detail }
}

export function permissionMissing(permission: string): AccessProblem {
  const detail = `permission: expected ${permission}, got a token without it`
  return { status: 403, code: 'permission-missing', detail, missing: permission }
}

export function producerNotAllowed(producerId: string): AccessProblem {
  const detail = `producer ${producerId}: expected a token that lists it, got one that does not`
  return { status: 403, code: 'producer-not-allowed', detail, missing: producerId }
}

export function rateLimited(detail: string, retryAfterS: number): AccessProblem {
  return { status: 429, code: 'rate-limited', detail, retryAfterS }
}
