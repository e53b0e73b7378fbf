import type { HttpClient } from './exchange.ts'
import { ContentCodingError } from './fetch.ts'

/**
 * A server may name a content coding that its body is not in. The body is good, and fetch cannot give it: it is asked
 * for once more without any coding. Were that to fail too, the answer is broken in transit.
 */
export function withIdentityFallback(next: HttpClient): HttpClient {
  return async (request, options) => {
    try {
      return await next(request, options)
    } catch (error) {
      if (!(error instanceof ContentCodingError)) throw error
      return await next({ ...request, headers: { ...request.headers, 'accept-encoding': 'identity' } }, options)
    }
  }
}
