import { type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { createExpiringCache } from './expiring-cache.ts'
import { type SecretComparison, secretMatches, type TokenParts } from './token-text.ts'

export type KnownToken = {
  readonly tenant: string
  readonly secretHash: Buffer
  readonly permissions: readonly string[]
  readonly producers: readonly string[]
  readonly expiresAt: Instant
  readonly revokedAt: Instant | null
  readonly lastUsedAt: Instant | null
}

export type TokenLookup = {
  /** Whether `find` would ask nobody. */
  readonly remembers: (tokenId: string) => boolean
  /** Null: there is none, or its secret is another. Which of the two nobody is told. */
  readonly find: (parts: TokenParts) => Promise<KnownToken | null>
  /** Notes that a token was used, at most hourly. */
  readonly used: (tokenId: string, token: KnownToken) => Promise<void>
}

/** A revocation takes as long to be heard of everywhere. */
export const REMEMBERED_SECONDS = 60
const REMEMBERED_MAX = 10_000
const USED_EVERY = 3_600n * MICROS_PER_SECOND

const FIND: Statement = {
  name: 'find_metadata_token',
  text: `
select n.tenant, t.secret_sha256 as "secretHash", t.permissions, t.producers, t.expires_at as "expiresAt",
       t.revoked_at as "revokedAt", t.last_used_at as "lastUsedAt"
  from metadata.token t
  join metadata.tenant n using (tenant_no)
 where t.token_id = $1::text`,
}

const USED: Statement = {
  name: 'note_metadata_token_used',
  text: `
update metadata.token
   set last_used_at = now()
 where token_id = $1::text and (last_used_at is null or last_used_at < now() - interval '1 hour')`,
}

export type TokenLookupOptions = {
  readonly db: Queryable
  readonly clock: () => Instant
  readonly matches?: SecretComparison
}

/** Tokens by id. Only what was found is remembered: ids that are guessed take no memory. */
export function createTokenLookup({ db, clock, matches = secretMatches }: TokenLookupOptions): TokenLookup {
  const age = BigInt(REMEMBERED_SECONDS) * MICROS_PER_SECOND
  const remembered = createExpiringCache<KnownToken>({ clock, age, entriesMax: REMEMBERED_MAX })
  const noted = createExpiringCache<true>({ clock, age: USED_EVERY, entriesMax: REMEMBERED_MAX })

  const findRow = async (tokenId: string): Promise<KnownToken | null> => {
    const known = remembered.get(tokenId)
    if (known !== undefined) return known
    const [token] = await db.query<KnownToken>(FIND, [tokenId])
    if (token === undefined) return null
    remembered.set(tokenId, token)
    return token
  }

  return {
    remembers: (tokenId) => remembered.get(tokenId) !== undefined,
    async find({ tokenId, secret }) {
      const token = await findRow(tokenId)
      return matches(secret, token?.secretHash ?? null) ? token : null
    },
    async used(tokenId, { lastUsedAt }) {
      const recently = lastUsedAt !== null && clock() - lastUsedAt < USED_EVERY
      if (recently || noted.get(tokenId)) return
      noted.set(tokenId, true)
      await db.query(USED, [tokenId])
    },
  }
}
