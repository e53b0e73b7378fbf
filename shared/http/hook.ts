import type { IoHook } from '../io-hook.ts'
import type { HttpClient } from './exchange.ts'

/** Passes each request through the fault seam, named by its subject. */
export function withHook(next: HttpClient, hook: IoHook): HttpClient {
  return (request, options) =>
    hook({ client: 'http', action: 'get', subject: request.subject }, () => next(request, options))
}
