import { CancelledError, TransientError } from '../errors.ts'
import type { HttpClient } from './exchange.ts'

/**
 * One limit over connection, headers and body. The signal is built by hand: on Node 20 none of 1,000 signals of
 * `AbortSignal.any([…, AbortSignal.timeout(300)])` fired once the garbage collector had run, so a provider that
 * stalls would have stalled us for ever.
 */
export function withTimeout(next: HttpClient, timeoutMs: number): HttpClient {
  return async (request, options) => {
    const caller = options.signal
    const cancelled = () => new CancelledError(`${request.subject}: cancelled`)
    if (caller.aborted) throw cancelled()
    const controller = new AbortController()
    const onCancel = () => controller.abort(cancelled())
    const timer = setTimeout(() => {
      controller.abort(
        new TransientError(`${request.subject}: expected a whole answer within ${timeoutMs} ms, got none`),
      )
    }, timeoutMs)
    caller.addEventListener('abort', onCancel, { once: true })
    try {
      return await next(request, { ...options, signal: controller.signal })
    } finally {
      clearTimeout(timer)
      caller.removeEventListener('abort', onCancel)
    }
  }
}
