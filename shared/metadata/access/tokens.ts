import type { Instant } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { AccessError } from './access-error.ts'
import type { Caller } from './caller.ts'
import { checkGrantable, checkPermissions, checkProducers } from './grant.ts'
import { addTenant } from './tenant-row.ts'
import { formatToken, hashSecret, newTokenParts, TOKEN_ENVIRONMENT, TOKEN_ID } from './token-text.ts'

export { grantableBy } from './caller.ts'

export type NewToken = {
  readonly tenant: string
  readonly permissions: readonly string[]
  /** Producer ids that it may write as; `*` for all but the built-in ones. */
  readonly producers: readonly string[]
  readonly expiresAt: Instant
  readonly createdBy: string
  /** Who asks over HTTP: it grants only what it has, in its tenant. Absent: the operator. */
  readonly caller?: Caller | undefined
}

/** `token` is shown once: only the hash of its secret is kept. */
export type CreatedToken = { readonly tokenId: string; readonly token: string; readonly expiresAt: Instant }

export type TokenRow = {
  readonly tokenId: string
  readonly permissions: readonly string[]
  readonly producers: readonly string[]
  readonly expiresAt: Instant
  readonly revokedAt: Instant | null
  readonly replacedBy: string | null
  /** At most hourly. */
  readonly lastUsedAt: Instant | null
  readonly createdBy: string
  readonly createdAt: Instant
}

export const OVERLAP_SECONDS_MAX = 7 * 86_400
const LISTED_MAX = 1_000

const INSERT: Statement = {
  name: 'insert_metadata_token',
  text: `
insert into metadata.token (token_id, tenant_no, secret_sha256, permissions, producers, expires_at, created_by)
select $1::text, n.tenant_no, $3::bytea, $4::text[], $5::text[], $6::timestamptz, $7::text
  from metadata.tenant n
 where n.tenant = $2::text and $6::timestamptz > now() and $6::timestamptz <= now() + interval '10 years'
returning token_id as "tokenId"`,
}

/** Throws AccessError: invalid-request, permission-missing. */
export async function createToken(db: Database, given: NewToken, environment: string): Promise<CreatedToken> {
  const { tenant, expiresAt, createdBy, caller } = given
  const grant = { permissions: checkPermissions(given.permissions), producers: checkProducers(given.producers) }
  if (caller !== undefined && caller.tenant !== tenant) {
    throw new AccessError('invalid-request', `tenant: expected the caller's own, ${caller.tenant}, got another`)
  }
  checkGrantable(caller, grant)
  return db.transaction(async (tx) => {
    await addTenant(tx, tenant)
    const created = await insertToken(tx, { tenant, ...grant, expiresAt, createdBy }, environment)
    const after = { tenant, ...grant, expiresAt }
    await recordAudit(tx, { actor: createdBy, action: 'create_metadata_token', subject: created.tokenId, after })
    return created
  })
}

async function insertToken(tx: Queryable, token: NewToken, environment: string): Promise<CreatedToken> {
  if (!TOKEN_ENVIRONMENT.test(environment)) {
    throw new AccessError(
      'invalid-request',
      `token environment: expected 1 to 32 of a-z, 0-9 and -, got ${environment}`,
    )
  }
  const { tenant, permissions, producers, expiresAt, createdBy } = token
  const parts = newTokenParts(environment)
  const hash = hashSecret(parts.secret)
  const values = [parts.tokenId, tenant, hash, permissions, producers, expiresAt, createdBy]
  const [row] = await tx.query<{ tokenId: string }>(INSERT, values)
  if (row === undefined) {
    throw new AccessError('invalid-request', 'expiry: expected a time in the next 10 years, got another')
  }
  return { tokenId: parts.tokenId, token: formatToken(parts), expiresAt }
}

const LOCK: Statement = {
  name: 'lock_metadata_token',
  text: `
select t.permissions, t.producers, t.expires_at as "expiresAt", t.created_at as "createdAt",
       t.revoked_at as "revokedAt", t.replaced_by as "replacedBy", now() as now
  from metadata.token t
  join metadata.tenant n using (tenant_no)
 where n.tenant = $1::text and t.token_id = $2::text
   for update of t`,
}

type LockedToken = Pick<
  TokenRow,
  'permissions' | 'producers' | 'expiresAt' | 'createdAt' | 'revokedAt' | 'replacedBy'
> & {
  readonly now: Instant
}

async function lockToken(tx: Queryable, tenant: string, tokenId: string): Promise<LockedToken> {
  // Anything may stand in a URL, also what PostgreSQL takes for no text.
  const [token] = TOKEN_ID.test(tokenId) ? await tx.query<LockedToken>(LOCK, [tenant, tokenId]) : []
  if (token === undefined) throw unknownToken(tokenId)
  return token
}

const REPLACE: Statement = {
  name: 'replace_metadata_token',
  text: `
update metadata.token t
   set replaced_by = $3::text, expires_at = least(t.expires_at, now() + make_interval(secs => $4::float8))
  from metadata.tenant n
 where n.tenant_no = t.tenant_no and n.tenant = $1::text and t.token_id = $2::text
returning t.expires_at as "expiresAt"`,
}

export type Rotation = {
  readonly tenant: string
  /** How long the old token is good beside the new one, at most 7 days; also of 0 it may count for 60 s, in caches. */
  readonly overlapSeconds: number
  readonly by: string
  /** Absent: the new token lasts from now as long as the old one was made for. */
  readonly expiresAt?: Instant | undefined
  /** Who asks over HTTP: what it does not have it can not get by rotating the token of another. Absent: the operator. */
  readonly caller?: Caller | undefined
}

/**
 * A new token with the same rights; the old one ends with the overlap. A token is rotated once: its successor is next.
 * Throws AccessError: invalid-request, unknown-token, token-ended, permission-missing.
 */
export async function rotateToken(
  db: Database,
  tokenId: string,
  { tenant, overlapSeconds, by, expiresAt, caller }: Rotation,
  environment: string,
): Promise<CreatedToken & { readonly replacedExpiresAt: Instant }> {
  if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > OVERLAP_SECONDS_MAX) {
    const expected = `whole seconds from 0 to ${OVERLAP_SECONDS_MAX}`
    throw new AccessError('invalid-request', `overlap: expected ${expected}, got ${overlapSeconds}`)
  }
  if (caller !== undefined && caller.tenant !== tenant) throw unknownToken(tokenId)
  return db.transaction(async (tx) => {
    const old = await lockToken(tx, tenant, tokenId)
    checkNotEnded(tokenId, old)
    const { permissions, producers } = old
    checkGrantable(caller, { permissions, producers })
    const until = expiresAt ?? old.now + (old.expiresAt - old.createdAt)
    const created = await insertToken(
      tx,
      { tenant, permissions, producers, expiresAt: until, createdBy: by },
      environment,
    )
    const [replaced] = await tx.query<{ expiresAt: Instant }>(REPLACE, [
      tenant,
      tokenId,
      created.tokenId,
      overlapSeconds,
    ])
    const after = { tenant, replacedBy: created.tokenId, overlapSeconds, expiresAt: until }
    await recordAudit(tx, { actor: by, action: 'rotate_metadata_token', subject: tokenId, after })
    return { ...created, replacedExpiresAt: replaced?.expiresAt ?? old.now }
  })
}

function checkNotEnded(tokenId: string, { revokedAt, replacedBy, expiresAt, now }: LockedToken): void {
  const ended =
    revokedAt !== null
      ? 'was revoked'
      : replacedBy !== null
        ? `was replaced by ${replacedBy}`
        : expiresAt <= now && 'expired'
  if (ended) throw new AccessError('token-ended', `token ${tokenId}: expected one that is good, got one that ${ended}`)
}

const REVOKE: Statement = {
  name: 'revoke_metadata_token',
  text: `
update metadata.token t
   set revoked_at = now()
  from metadata.tenant n
 where n.tenant_no = t.tenant_no and n.tenant = $1::text and t.token_id = $2::text and t.revoked_at is null
returning t.token_id as "tokenId"`,
}

/**
 * Ends a token for ever; instances that know it let it through for up to 60 s more. One that is revoked stays as it is.
 * Throws AccessError unknown-token.
 */
export async function revokeToken(
  db: Database,
  tokenId: string,
  { tenant, by }: { readonly tenant: string; readonly by: string },
): Promise<void> {
  await db.transaction(async (tx) => {
    await lockToken(tx, tenant, tokenId)
    const revoked = await tx.query(REVOKE, [tenant, tokenId])
    if (revoked.length === 0) return
    await recordAudit(tx, { actor: by, action: 'revoke_metadata_token', subject: tokenId, after: { tenant } })
  })
}

const LIST: Statement = {
  name: 'list_metadata_tokens',
  text: `
select t.token_id as "tokenId", t.permissions, t.producers, t.expires_at as "expiresAt", t.revoked_at as "revokedAt",
       t.replaced_by as "replacedBy", t.last_used_at as "lastUsedAt", t.created_by as "createdBy",
       t.created_at as "createdAt"
  from metadata.token t
  join metadata.tenant n using (tenant_no)
 where n.tenant = $1::text
 order by (t.revoked_at is null and t.expires_at > now()) desc, t.created_at desc, t.token_id
 limit $2::int`,
}

/** Those that are good first, then the newest; at most 1,000. */
export function listTokens(db: Queryable, tenant: string): Promise<readonly TokenRow[]> {
  return db.query<TokenRow>(LIST, [tenant, LISTED_MAX])
}

/** Also of another tenant's. */
function unknownToken(tokenId: string): AccessError {
  return new AccessError('unknown-token', `token ${tokenId.slice(0, 16)}: expected one of the tenant, got none`)
}
