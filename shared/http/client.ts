import { type IoHook, withoutHook } from '../io-hook.ts'
import type { HttpClient } from './exchange.ts'
import { withHook } from './hook.ts'
import { withRetry } from './retry.ts'
import { withTimeout } from './timeout.ts'
import { createTransport } from './transport.ts'

/** A GET: no source asks with anything else. */
export type HttpClientSettings = {
  readonly hook?: IoHook
  /** Of one try: connection, headers and body together. */
  readonly timeoutMs: number
  /** Requests sent for one call at most, the first included. */
  readonly triesMax: number
  /** The first wait is drawn from [0, this), each further one from twice the range. */
  readonly backoffBaseMs?: number
  readonly backoffMaxMs?: number
}

/** Wrappers around one transport, inside out. The hook is the innermost: it sees each real request once. */
export function createHttpClient({
  hook = withoutHook,
  timeoutMs,
  triesMax,
  backoffBaseMs = 500,
  backoffMaxMs = 5_000,
}: HttpClientSettings): HttpClient {
  const once = withTimeout(withHook(createTransport(), hook), timeoutMs)
  return withRetry(once, { triesMax, backoffBaseMs, backoffMaxMs })
}
