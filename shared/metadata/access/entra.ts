import { createRemoteJWKSet, customFetch, errors, jwtVerify } from 'jose'
import { z } from 'zod'
import type { EntraSettings } from '../../config/metadata-settings.ts'
import { TransientError, toError } from '../../errors.ts'
import { createHttpClient } from '../../http/client.ts'
import type { HttpClient } from '../../http/exchange.ts'
import type { Instant } from '../../instant.ts'
import { type AccessProblem, expired, unauthenticated } from './access-problem.ts'
import { parsePermission } from './caller.ts'

/** `authority`: of a national cloud, or of a test. */
export type EntraOptions = EntraSettings & { readonly authority?: string }

/** What a good token says: who, and what it may do. Whose it is stands in `metadata.principal`. */
export type EntraIdentity = {
  /** The directory's, whichever version of token it issued. */
  readonly issuer: string
  /** `oid`: the same in every application of the directory. */
  readonly subject: string
  readonly permissions: readonly string[]
}

export type EntraVerified =
  | { readonly ok: true; readonly identity: EntraIdentity }
  | { readonly ok: false; readonly problem: AccessProblem }

/** Throws TransientError where the keys can not be had: nobody can say then whether a token is good. */
export type EntraVerifier = (token: string) => Promise<EntraVerified>

const AUTHORITY = 'https://login.microsoftonline.com'
/** Tokens of version 1, which applications get that ask for nothing else. */
const ISSUER_V1 = 'https://sts.windows.net'
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A key that is not among them is asked for at once; one that was withdrawn counts for this long. */
const KEYS_AGE_MS = 3_600_000
const KEYS_BYTES_MAX = 1024 * 1024
const KEYS_TIMEOUT_MS = 3_000
const KEYS_TRIES_MAX = 2
const CLOCK_TOLERANCE_S = 60

const claims = z.object({
  oid: z.string().regex(/^[\u0021-\u007e]{1,256}$/),
  roles: z.array(z.string()).max(1_000).default([]),
})

/** What `metadata.principal` calls the directory. */
export function entraIssuer({ tenantId, authority = AUTHORITY }: EntraOptions): string {
  return `${authority}/${tenantId}/v2.0`
}

/** Issuer, audience, signature and times of access tokens; RS256 and nothing else. */
export function createEntraVerifier(
  entra: EntraOptions,
  {
    clock,
    http = createHttpClient({ timeoutMs: KEYS_TIMEOUT_MS, triesMax: KEYS_TRIES_MAX }),
  }: { readonly clock: () => Instant; readonly http?: HttpClient | undefined },
): EntraVerifier {
  const { tenantId, audience, authority = AUTHORITY } = entra
  const issuer = entraIssuer(entra)
  const keys = createRemoteJWKSet(new URL(`${authority}/${tenantId}/discovery/v2.0/keys`), {
    cacheMaxAge: KEYS_AGE_MS,
    // Above what our own client takes for all its tries.
    timeoutDuration: 4 * KEYS_TIMEOUT_MS,
    [customFetch]: (url, { signal }) => fetchKeys(http, url, signal),
  })
  const required = {
    issuer: [issuer, `${ISSUER_V1}/${tenantId}/`],
    // An application of version 2 is named by its id alone, one of version 1 by the uri made of it.
    audience: GUID.test(audience) ? [audience, `api://${audience}`] : audience,
    // Named, so that neither `none` nor an HMAC made with the public key can pass.
    algorithms: ['RS256'],
    requiredClaims: ['exp', 'oid'],
    clockTolerance: CLOCK_TOLERANCE_S,
  }
  return async (token) => {
    try {
      const currentDate = new Date(Number(clock() / 1_000n))
      const { payload } = await jwtVerify(token, keys, { ...required, currentDate })
      const { oid, roles } = claims.parse(payload)
      // Roles that are no permissions are another application's affair.
      const permissions = roles.filter((role) => parsePermission(role) !== undefined)
      return { ok: true, identity: { issuer, subject: oid, permissions } }
    } catch (thrown) {
      return { ok: false, problem: problemOf(toError(thrown)) }
    }
  }
}

async function fetchKeys(http: HttpClient, url: string, signal: AbortSignal): Promise<Response> {
  const headers = { accept: 'application/json' }
  const answer = await http({ url, subject: url, headers }, { signal, bodyBytesMax: KEYS_BYTES_MAX })
  return new Response(new Uint8Array(answer.body), { status: answer.status })
}

/** jose's messages quote claims at most, and those of a token that may be forged: here they are told by their kind. */
function problemOf(error: Error): AccessProblem {
  if (error instanceof errors.JWTExpired)
    return expired('entra token: expected one that has not expired, got one that has')
  if (error instanceof errors.JWTClaimValidationFailed) {
    return unauthenticated(`entra token: expected another claim ${error.claim}`)
  }
  if (error instanceof z.ZodError) return unauthenticated('entra token: expected claims oid and roles, got others')
  if (error instanceof errors.JOSEError && ABOUT_TOKEN.has(error.code)) {
    return unauthenticated('entra token: expected one signed with RS256 by a key of the directory, got none')
  }
  // The keys could not be fetched or are none. A 401 would tell a good client that its token is bad.
  throw new TransientError(`entra keys: expected an answer with keys, got ${error.message}`)
}

const ABOUT_TOKEN: ReadonlySet<string> = new Set([
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
  errors.JWKSNoMatchingKey.code,
  errors.JWKSMultipleMatchingKeys.code,
  errors.JWSInvalid.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JWTInvalid.code,
])
