import { ConfigError, ContractError, TransientError, toError } from '../errors.ts'
import { readBody } from './body.ts'
import type { HttpClient, HttpRequest } from './exchange.ts'

/** The answer says it is in a content coding that it is not in: `withIdentityFallback` asks again without one. */
export class ContentCodingError extends TransientError {
  override readonly name = 'ContentCodingError'
}

/**
 * One real request. Redirects are not followed: an API that moved, or a login page, must not pass for an answer.
 * No error carries a cause: what fetch says of a URL or a header that it refuses quotes it, secret and all.
 */
export const sendWithFetch: HttpClient = async (request, { signal, bodyBytesMax }) => {
  const { url, headers } = checkRequest(request)
  try {
    const response = await fetch(url, { method: 'GET', headers, redirect: 'manual', signal })
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: await readBody(response, bodyBytesMax),
    }
  } catch (thrown) {
    // The wrappers abort with one of our own errors as the reason: it says whether time or the caller ended it.
    if (signal.aborted) throw toError(signal.reason)
    throw failureOf(request, toError(thrown))
  }
}

function checkRequest({ url: text, headers, subject }: HttpRequest): { url: URL; headers: Headers } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.username || url?.password) {
    throw new ConfigError(['url of a provider: expected no user and password in it, got some'])
  }
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new ConfigError([`${subject}: expected an absolute http or https url`])
  }
  const checked = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    try {
      checked.set(name, value)
    } catch {
      throw new ConfigError([`${subject}: expected header ${name} to be one line of latin text, got something else`])
    }
  }
  return { url, headers: checked }
}

function failureOf({ subject }: HttpRequest, error: Error): Error {
  if (error instanceof ContractError) return new ContractError(`${subject}: ${error.message}`)
  if (error instanceof TransientError) return new TransientError(`${subject}: ${error.message}`)
  const { code, coding } = rootOf(error)
  if (coding) return new ContentCodingError(`${subject}: expected a body in its content-encoding, got ${code}`)
  return new TransientError(`${subject}: expected a whole answer, got ${code}`)
}

const CAUSES_MAX = 5

/** The code of the innermost cause: fetch wraps what the socket or zlib said in `fetch failed` or `terminated`. */
function rootOf(error: Error): { readonly code: string; readonly coding: boolean } {
  let root = error
  for (let depth = 0; depth < CAUSES_MAX && root.cause instanceof Error; depth++) root = root.cause
  const code = 'code' in root && typeof root.code === 'string' ? root.code : root.name
  return { code, coding: /^(Z_|ERR_+(BROTLI|ZLIB|ERROR_FORMAT|PADDING))/.test(code) }
}
