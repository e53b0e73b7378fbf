/**
 * What was asked of tokens or principals can not be done.
 *
 * invalid-request: it is none · unknown-token: no such token in the tenant · token-ended: expired, revoked or replaced
 * before · permission-missing: the caller would grant what it lacks, see `missing` · principal-taken: the identity
 * belongs to another tenant
 */
export class AccessError extends Error {
  override readonly name = 'AccessError'
  readonly code: 'invalid-request' | 'unknown-token' | 'token-ended' | 'permission-missing' | 'principal-taken'
  readonly missing: readonly string[]

  constructor(code: AccessError['code'], message: string, missing: readonly string[] = []) {
    super(message)
    this.code = code
    this.missing = missing
  }
}
