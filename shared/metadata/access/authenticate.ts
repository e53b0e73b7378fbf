import type { HttpClient } from '../../http/exchange.ts'
import { type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Database } from '../../postgres/database.ts'
import { type AccessProblem, type Authenticated, expired, rateLimited, unauthenticated } from './access-problem.ts'
import { createTokenBudgets, type TokenBudgets } from './budget.ts'
import { guessBudget } from './client-address.ts'
import type { EntraIdentity, EntraOptions, EntraVerifier } from './entra.ts'
import { createExpiringCache, type ExpiringCache } from './expiring-cache.ts'
import { type FoundPrincipal, findPrincipal } from './principals.ts'
import { createTokenLookup, REMEMBERED_SECONDS, type TokenLookup } from './token-lookup.ts'
import { parseToken, type SecretComparison, TOKEN_PREFIX } from './token-text.ts'

export type { AccessProblem, Authenticated } from './access-problem.ts'

/**
 * Who asks. Throws TransientError where nobody can say: the database does not answer, or Entra's keys can not be had;
 * a 401 would tell a good client that its token is bad.
 */
export type Authenticator = (authorization: string | null, clientAddress: string | null) => Promise<Authenticated>

export type AuthenticatorOptions = {
  /** Of metadata. */
  readonly db: Database
  readonly clock: () => Instant
  /** Tokens of other environments are refused. */
  readonly tokenEnvironment: string
  /** Absent: only the service's own tokens are taken. */
  readonly entra?: EntraOptions | undefined
  /** Asks for Entra's keys. */
  readonly http?: HttpClient | undefined
  readonly budgets?: TokenBudgets | undefined
  readonly matches?: SecretComparison | undefined
}

/** Above what Entra makes of a token with 200 roles. */
export const AUTHORIZATION_BYTES_MAX = 16 * 1024

/** Look-ups that failed, per client: 20 at once, then one in 10 s. */
export const GUESSES = { capacity: 20, refillPerS: 0.1 }

const PRINCIPALS_MAX = 10_000

type Parts = {
  readonly clock: () => Instant
  readonly db: Database
  readonly tokenEnvironment: string
  readonly tokens: TokenLookup
  readonly principals: ExpiringCache<FoundPrincipal>
  readonly budgets: TokenBudgets
  readonly verify: EntraVerifier | null
}

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { db, clock, tokenEnvironment, entra, http, budgets = createTokenBudgets(db), matches } = options
  const age = BigInt(REMEMBERED_SECONDS) * MICROS_PER_SECOND
  const parts: Parts = {
    db,
    clock,
    tokenEnvironment,
    budgets,
    tokens: createTokenLookup({ db, clock, ...(matches && { matches }) }),
    principals: createExpiringCache({ clock, age, entriesMax: PRINCIPALS_MAX }),
    verify: entra === undefined ? null : lazyVerifier(entra, { clock, http }),
  }
  return async (authorization, clientAddress) => {
    const bearer = readBearer(authorization)
    if (typeof bearer !== 'string') return refused(bearer)
    const guesses = guessBudget(clientAddress)
    if (bearer.startsWith(TOKEN_PREFIX)) return byToken(parts, bearer, guesses)
    if (parts.verify === null) {
      return refused(unauthenticated(`token: expected one that begins with ${TOKEN_PREFIX}, got another`))
    }
    const verified = await parts.verify(bearer)
    return verified.ok ? byPrincipal(parts, verified.identity, guesses) : refused(verified.problem)
  }
}

function readBearer(authorization: string | null): string | AccessProblem {
  if (authorization === null) return unauthenticated('authorization: expected Bearer and a token, got none')
  if (Buffer.byteLength(authorization) > AUTHORIZATION_BYTES_MAX) {
    return unauthenticated(`authorization: expected at most ${AUTHORIZATION_BYTES_MAX} bytes, got more`)
  }
  const [, token] = /^bearer +([\u0021-\u007e]+)$/i.exec(authorization.trim()) ?? []
  return token ?? unauthenticated('authorization: expected Bearer and a token, got something else')
}

async function byToken(parts: Parts, text: string, guesses: string): Promise<Authenticated> {
  const { tokens, tokenEnvironment, clock } = parts
  const token = parseToken(text)
  if (token === undefined) return refused(unauthenticated('token: expected one whose checksum is right, got another'))
  const { environment, tokenId } = token
  if (environment !== tokenEnvironment) {
    return refused(unauthenticated(`token: expected one of ${tokenEnvironment}, got one of ${environment}`))
  }
  if (!tokens.remembers(tokenId)) {
    const limited = beforeLookup(parts, guesses)
    if (limited !== null) return refused(limited)
  }
  const known = await tokens.find(token)
  if (known === null) {
    return refused(
      await afterFailure(parts, guesses, unauthenticated('token: expected one that is known, got another')),
    )
  }
  // Only who has the secret is told what became of the token.
  if (known.revokedAt !== null) {
    return refused(unauthenticated(`token ${tokenId}: expected one that is good, got one that was revoked`))
  }
  if (known.expiresAt <= clock()) {
    return refused(expired(`token ${tokenId}: expected one that has not expired, got one that has`))
  }
  // A courtesy to who looks through the tokens: no request fails for it.
  await tokens.used(tokenId, known).catch(() => undefined)
  const { tenant, permissions, producers } = known
  return { ok: true, caller: { tenant, subject: `token:${tokenId}`, tokenId, permissions, producers } }
}

async function byPrincipal(parts: Parts, identity: EntraIdentity, guesses: string): Promise<Authenticated> {
  const { issuer, subject, permissions } = identity
  const { db, principals } = parts
  const key = JSON.stringify([issuer, subject])
  let principal: FoundPrincipal | null = principals.get(key) ?? null
  if (principal === null) {
    const limited = beforeLookup(parts, guesses)
    if (limited !== null) return refused(limited)
    principal = await findPrincipal(db, issuer, subject)
    if (principal === null) {
      const detail = `entra identity ${subject}: expected one that belongs to a tenant, got one that belongs to none`
      return refused(await afterFailure(parts, guesses, { status: 403, code: 'no-tenant', detail }))
    }
    principals.set(key, principal)
  }
  return { ok: true, caller: { ...principal, subject: `entra:${subject}`, tokenId: null, permissions } }
}

/** An instance hears that a client is over its budget by its own next guess: one look-up each, and one per refill. */
function beforeLookup({ budgets }: Parts, guesses: string): AccessProblem | null {
  const refusal = budgets.refusal(guesses)
  return refusal && tooManyGuesses(refusal.retryAfterS)
}

async function afterFailure({ budgets }: Parts, guesses: string, problem: AccessProblem): Promise<AccessProblem> {
  const taken = await budgets.take(guesses, GUESSES)
  return taken.ok ? problem : tooManyGuesses(taken.retryAfterS)
}

function tooManyGuesses(retryAfterS: number): AccessProblem {
  return rateLimited('client: expected few tokens that are unknown, got too many', retryAfterS)
}

function refused(problem: AccessProblem): Authenticated {
  return { ok: false, problem }
}

/** Loaded here: most deployments have tokens of their own alone, and pay nothing for a library that checks others. */
function lazyVerifier(entra: EntraOptions, options: Pick<AuthenticatorOptions, 'clock' | 'http'>): EntraVerifier {
  let opening: Promise<EntraVerifier> | undefined
  return async (token) => {
    opening ??= import('./entra.ts').then(({ createEntraVerifier }) => createEntraVerifier(entra, options))
    return (await opening)(token)
  }
}
