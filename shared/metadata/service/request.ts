/** A request as every HTTP host can give it. */
export type HttpRequestLike = {
  readonly method: string
  /** Absolute, or the path with the query. */
  readonly url: string
  readonly headers: { readonly get: (name: string) => string | null }
  /** Parts of the path that the route names, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Uint8Array> | null
}

export type HttpResponseLike = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text; absent: nothing. */
  readonly body?: string
}

/** Where every path of the service begins; the host adds `/api`. */
export const ROUTE_PREFIX = 'metadata/v1'
export const BASE_PATH = `/api/${ROUTE_PREFIX}`

export function urlOf({ url }: HttpRequestLike): URL {
  return new URL(url, 'http://localhost')
}

/**
 * Who called, for counting guesses. The front end of Azure appends the address that it saw to what a caller may have
 * written there itself: only the last one is to be believed. Null where nobody stands in front.
 */
export function clientAddress({ headers }: HttpRequestLike): string | null {
  return headers.get('x-forwarded-for')?.split(',').at(-1)?.trim() || null
}
