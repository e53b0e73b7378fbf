import { type IncomingMessage, Agent as PlainAgent, request as requestPlain } from 'node:http'
import { request as requestTls, Agent as TlsAgent } from 'node:https'
import { ConfigError, ContractError, TransientError, toError } from '../../errors.ts'
import { codeOf, readBody } from '../../http/body.ts'
import { checkedHeaders } from '../../http/headers.ts'
import { type IoHook, withoutHook } from '../../io-hook.ts'
import type { RemoteAnswer, RemoteRequest, Send } from './exchange.ts'

/** Servers keep idle connections for five seconds and longer: we leave first, so that no request meets a closed one. */
const IDLE_MS = 4_000

/** A page of 500 records of the largest size. */
const ANSWER_BYTES_MAX = 160 * 1024 * 1024

const HEADERS = { accept: 'application/json', 'accept-encoding': 'gzip', 'user-agent': 'tributary' }

/**
 * GET and POST on `node:http`, for the reason that `shared/http/transport.ts` names: fetch undoes the coding that a
 * header names, and on Node 22 a proxy that lies there makes it hang for ever, past every abort. Redirects are not
 * followed: a token must not go to another host. Idle connections keep no process alive.
 */
export function createRemoteTransport(hook: IoHook = withoutHook): Send {
  const settings = { keepAlive: true, timeout: IDLE_MS }
  const plain = new PlainAgent(settings)
  const tls = new TlsAgent(settings)
  const once: Send = async (request, signal) => {
    const { url, headers } = checkRequest(request)
    const { method, body } = request
    const open = () =>
      url.protocol === 'https:'
        ? requestTls(url, { method, headers, signal, agent: tls })
        : requestPlain(url, { method, headers, signal, agent: plain })
    try {
      return await exchange(open, body)
    } catch (thrown) {
      if (signal.aborted) throw toError(signal.reason)
      throw failureOf(request, toError(thrown))
    }
  }
  return (request, signal) => {
    const action = request.method === 'GET' ? 'get' : 'post'
    return hook({ client: 'http', action, subject: request.subject }, () => once(request, signal))
  }
}

function exchange(open: () => ReturnType<typeof requestPlain>, body: Uint8Array | undefined): Promise<RemoteAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = open()
    // For its whole life: an error that nobody hears ends the process.
    outgoing.on('error', reject)
    const onClose = () => reject(new TransientError('expected a whole answer, got a connection that was closed'))
    outgoing.once('close', onClose)
    outgoing.once('response', (incoming) => {
      outgoing.off('close', onClose)
      readAnswer(incoming).then(resolve, reject)
    })
    outgoing.end(body)
  })
}

async function readAnswer(incoming: IncomingMessage): Promise<RemoteAnswer> {
  const status = incoming.statusCode ?? 0
  const headers = Object.fromEntries(
    Object.entries(incoming.headersDistinct).map(([name, values]) => [name, values?.join(', ') ?? '']),
  )
  const body = await readBody({ stream: incoming, status, coding: headers['content-encoding'] }, ANSWER_BYTES_MAX)
  return { status, headers, body }
}

function checkRequest({ url: text, headers, body, subject }: RemoteRequest) {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw new ConfigError([`${subject}: expected an http or https address without a user and a password`])
  }
  const checked: Record<string, string> = { ...HEADERS }
  if (body !== undefined) {
    checked['content-type'] = 'application/json'
    checked['content-length'] = String(body.byteLength)
  }
  return { url, headers: { ...checked, ...checkedHeaders(headers, subject) } }
}

/** No error carries a cause: it may quote a header, token and all. */
function failureOf({ subject }: RemoteRequest, error: Error): Error {
  if (error instanceof ContractError) return new ContractError(`${subject}: ${error.message}`)
  if (error instanceof TransientError) return new TransientError(`${subject}: ${error.message}`)
  return new TransientError(`${subject}: expected a whole answer, got ${codeOf(error)}`)
}
