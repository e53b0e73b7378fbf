import { type IoHook, withoutHook } from '../io-hook.ts'
import type { HttpClient } from './exchange.ts'
import { sendWithFetch } from './fetch.ts'
import { withHook } from './hook.ts'
import { withIdentityFallback } from './identity.ts'
import { withRetry } from './retry.ts'
import { withTimeout } from './timeout.ts'

/** A GET: no source asks with anything else. */
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
