import { type IncomingMessage, Agent as PlainAgent, request as requestPlain } from 'node:http'
import { request as requestTls, Agent as TlsAgent } from 'node:https'
import { ConfigError, ContractError, TransientError, toError } from '../errors.ts'
import { codeOf, readBody } from './body.ts'
import type { HttpAnswer, HttpClient, HttpOptions, HttpRequest } from './exchange.ts'
import { checkedHeaders } from './headers.ts'

/** Servers keep idle connections for five seconds and longer: we leave first, so that no request meets a closed one. */
const IDLE_MS = 4_000

/**
 * What a request says unless its source says otherwise. Of all codings only gzip is known by its bytes and proves its
 * end; what came in another, or is said to be in one, `readBody` still reads.
 */
const HEADERS = { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'node' }

/**
 * One real request per call, on connections that are kept while idle and keep no process alive. Redirects are not
 * followed: an API that moved, or a login page, must not pass for an answer, nor our keys go to another host.
 *
 * `node:http` and not fetch, which undoes the coding that a header names: a plain body that says gzip was lost in it,
 * and on Node 22 one of 100 kB hung for ever: an abort after three seconds had not ended it after sixty.
 */
export function createTransport(): HttpClient {
  const settings = { keepAlive: true, timeout: IDLE_MS }
  const plain = new PlainAgent(settings)
  const tls = new TlsAgent(settings)
  return async (request, options) => {
    const { url, headers } = checkRequest(request)
    const open = (signal: AbortSignal) =>
      url.protocol === 'https:'
        ? requestTls(url, { headers, signal, agent: tls })
        : requestPlain(url, { headers, signal, agent: plain })
    try {
      return await exchange(open, options)
    } catch (thrown) {
      // The wrappers abort with one of our own errors as the reason: it says whether time or the caller ended it.
      if (options.signal.aborted) throw toError(options.signal.reason)
      throw failureOf(request, toError(thrown))
    }
  }
}

function exchange(
  open: (signal: AbortSignal) => ReturnType<typeof requestPlain>,
  { signal, bodyBytesMax }: HttpOptions,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = open(signal)
    // For its whole life: what the parser finds wrong in a body is told here, and an error that nobody hears ends the process.
    outgoing.on('error', reject)
    // A change of protocol (101) ends without an answer and without an error.
    const onClose = () => reject(new TransientError('expected a whole answer, got a connection that was closed'))
    outgoing.once('close', onClose)
    outgoing.once('response', (incoming) => {
      outgoing.off('close', onClose)
      readAnswer(incoming, bodyBytesMax).then(resolve, reject)
    })
    outgoing.end()
  })
}

/** Begins to read before it first waits: an error of a stream that nobody reads yet is not told to who reads it later. */
async function readAnswer(incoming: IncomingMessage, bodyBytesMax: number): Promise<HttpAnswer> {
  const status = incoming.statusCode ?? 0
  const headers = headersOf(incoming)
  const coding = headers['content-encoding']
  return { status, headers, body: await readBody({ stream: incoming, status, coding }, bodyBytesMax) }
}

/** Lower-case names, repeated headers joined: `incoming.headers` would keep only the first of some. */
function headersOf({ headersDistinct }: IncomingMessage): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headersDistinct).map(([name, values]) => [name, values?.join(', ') ?? '']))
}

function checkRequest({ url: text, headers, subject }: HttpRequest): { url: URL; headers: Record<string, string> } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.username || url?.password) {
    throw new ConfigError(['url of a provider: expected no user and password in it, got some'])
  }
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new ConfigError([`${subject}: expected an absolute http or https url`])
  }
  return { url, headers: { ...HEADERS, ...checkedHeaders(headers, subject) } }
}

/** No error carries a cause: who refuses a header or an answer may quote it, secret and all. */
function failureOf({ subject }: HttpRequest, error: Error): Error {
  if (error instanceof ContractError) return new ContractError(`${subject}: ${error.message}`)
  if (error instanceof TransientError) return new TransientError(`${subject}: ${error.message}`)
  return new TransientError(`${subject}: expected a whole answer, got ${codeOf(error)}`)
}
