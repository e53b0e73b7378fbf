import { type IoHook, withoutHook } from '../io-hook.ts'
import { sendWithFetch } from './fetch.ts'
import { withHook } from './hook.ts'
import { withIdentityFallback } from './identity.ts'
import { withRetry } from './retry.ts'
import { withTimeout } from './timeout.ts'

/** A GET: no source asks with anything else. */
export type HttpRequest = {
  /** The whole URL, secrets included. It reaches the provider and nothing else. */
  readonly url: string
  /** The URL without secrets: the only name of the request in messages, hooks and logs. */
  readonly subject: string
  /** May hold secrets. */
  readonly headers: Readonly<Record<string, string>>
}

/** Any status that came. `body` is what came after transfer decoding, `headers` have lower-case names. */
export type HttpAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export type HttpOptions = {
  /** Ends the request, and the waiting between two tries, with CancelledError. */
  readonly signal: AbortSignal
  /** A larger body, after decoding, is a ContractError. */
  readonly bodyBytesMax: number
}

/**
 * Gives the answer whatever its status. Throws TransientError where no whole answer came, CancelledError where the
 * caller's signal said so, ContractError for a body over the limit, ConfigError for a request that cannot be sent.
 */
export type HttpClient = (request: HttpRequest, options: HttpOptions) => Promise<HttpAnswer>

export type HttpClientSettings = {
  readonly hook?: IoHook
  /** Of one try: connection, headers and body together. */
  readonly timeoutMs: number
  /** Requests sent for one call at most, the first included. The fallback to identity coding is not counted. */
  readonly triesMax: number
  /** The first wait is drawn from [0, this), each further one from twice the range. */
  readonly backoffBaseMs?: number
  readonly backoffMaxMs?: number
}

/** Wrappers around one fetch, inside out. The hook is the innermost: it sees each real request once. */
export function createHttpClient({
  hook = withoutHook,
  timeoutMs,
  triesMax,
  backoffBaseMs = 500,
  backoffMaxMs = 5_000,
}: HttpClientSettings): HttpClient {
  const once = withTimeout(withHook(sendWithFetch, hook), timeoutMs)
  return withRetry(withIdentityFallback(once), { triesMax, backoffBaseMs, backoffMaxMs })
}
