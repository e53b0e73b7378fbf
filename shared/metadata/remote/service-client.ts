import type { z } from 'zod'
import { ConfigError, ContractError, toError } from '../../errors.ts'
import type { IoHook } from '../../io-hook.ts'
import { sample } from '../../json.ts'
import { BASE_PATH } from '../service/request.ts'
import { ATTEMPTS_MAX, type AttemptPolicy, BACKOFF_BASE_MS, withAttempts } from './attempts.ts'
import type { RemoteAnswer, Send } from './exchange.ts'
import { refusalError } from './problem.ts'
import { createRemoteTransport } from './transport.ts'

/** A service token, or what gives one of Entra ID: asked for each request, it keeps what is still good. */
export type TokenSource = string | (() => string | Promise<string>)

export type ServiceClientOptions = {
  /** Of the deployment (`https://app.azurewebsites.net`), or of the service's routes in it (`…/api/metadata/v1`). */
  readonly url: string
  readonly token: TokenSource
  /** Absent: node:http. */
  readonly send?: Send
  /** Of the transport that is made where none is given. */
  readonly hook?: IoHook
  /** A read is answered within this or not at all, ms. */
  readonly readMs?: number
  /** A batch of records is stored within this or not at all, ms. */
  readonly writeMs?: number
  readonly backoffBaseMs?: number
}

export type ServiceClient = {
  readonly backoffBaseMs: number
  /** 200 and 304, and 404 with its problem; every other status is thrown. */
  readonly get: (path: string, parameters?: RequestParameters, etag?: string) => Promise<RemoteAnswer>
  /** A read whose question is too long for an address. Of answers as `post`. */
  readonly ask: (path: string, body: Uint8Array) => Promise<RemoteAnswer>
  /** Whatever status is not worth another attempt. */
  readonly post: (path: string, body: Uint8Array, stop?: AbortSignal) => Promise<RemoteAnswer>
}

export type RequestParameters = Readonly<Record<string, string | number | undefined>>

const READ_MS = 2_000
const WRITE_MS = 120_000
const ATTEMPT_MS = 30_000

/** Throws ConfigError. */
export function openServiceClient(options: ServiceClientOptions): ServiceClient {
  const { token, hook, readMs = READ_MS, writeMs = WRITE_MS, backoffBaseMs = BACKOFF_BASE_MS } = options
  const send = authorized(options.send ?? createRemoteTransport(hook), token)
  const base = routesAt(options.url)
  const policy = (deadlineMs: number): AttemptPolicy => ({
    attemptsMax: ATTEMPTS_MAX,
    backoffBaseMs,
    attemptMs: ATTEMPT_MS,
    deadlineMs,
  })
  const posting = (path: string, body: Uint8Array) => {
    const subject = `metadata service POST ${path}`
    return { method: 'POST', url: `${base}${path}`, subject, headers: {}, body } as const
  }
  return {
    backoffBaseMs,
    async get(path, parameters = {}, etag) {
      const request = {
        method: 'GET',
        url: `${base}${path}${queryOf(parameters)}`,
        subject: `metadata service GET ${path}`,
        headers: { ...(etag !== undefined && { 'if-none-match': etag }) },
      } as const
      const answer = await withAttempts(send, request, policy(readMs))
      if ([200, 304, 404].includes(answer.status)) return answer
      throw refusalError(request.subject, answer)
    },
    ask: (path, body) => withAttempts(send, posting(path, body), policy(readMs)),
    post: (path, body, stop) => withAttempts(send, posting(path, body), policy(writeMs), stop),
  }
}

/** Whoever gives the token is waited for no longer than the service is. */
function authorized(send: Send, token: TokenSource): Send {
  return async (request, signal) => {
    const given = typeof token === 'string' ? token : await within(async () => token(), signal)
    return send({ ...request, headers: { ...request.headers, authorization: `Bearer ${given.trim()}` } }, signal)
  }
}

function within<Value>(run: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(toError(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    run()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Throws ContractError where the answer is not what this route gives. */
export function readAnswer<Schema extends z.ZodType>(
  schema: Schema,
  { status, headers, body }: RemoteAnswer,
  what: string,
): z.output<Schema> {
  const text = Buffer.from(body).toString('utf8')
  const parsed = schema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const place = issue === undefined ? '' : ` at ${issue.path.join('.')}: ${issue.message}`
  const type = headers['content-type'] ?? 'no type'
  throw new ContractError(
    `metadata service ${what}: expected its answer, got ${status} ${type} ${sample(text, 80)}${place}`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function routesAt(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new ConfigError([`url of the metadata service: expected an http or https address, got "${sample(url, 80)}"`])
  }
  if (parsed.search || parsed.hash || parsed.username || parsed.password) {
    throw new ConfigError(['url of the metadata service: expected neither user nor query in it, got some'])
  }
  const place = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`
  return place.endsWith(BASE_PATH) ? place : `${place}${BASE_PATH}`
}

function queryOf(parameters: RequestParameters): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value))
  }
  return query.size === 0 ? '' : `?${query}`
}
