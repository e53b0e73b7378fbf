import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { ConfigError, toError } from '../../../shared/errors.ts'
import type { RpcCookie, RpcHttp, RpcTypedData } from './core-api.ts'
import type { AppFunction } from './function-app.ts'
import type { HostLog } from './host-log.ts'
import type { Invoker } from './invocation.ts'
import { compareRoutes, matchRoute } from './route.ts'
import type { HttpTrigger, Trigger } from './trigger.ts'

export type HttpFunction = AppFunction<Trigger & HttpTrigger>

export type HttpServerOptions = {
  readonly functions: readonly HttpFunction[]
  readonly port: number
  readonly invoker: Invoker
  readonly log: HostLog
  /** Runs a function that is no HTTP function by hand; undefined where there is none of that name. */
  readonly runByHand: (name: string, input: string) => Promise<void> | undefined
}

export type HttpServer = {
  readonly port: number
  /** Takes no new connection; resolves when every answer is out. */
  readonly stop: () => Promise<void>
  /** Cuts what is still open. */
  readonly cut: () => void
}

/** As in the real host. */
const BODY_BYTES_MAX = 104_857_600
const ADMIN_PATH = '/admin/functions/'

class RequestError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Serves HTTP functions on the loopback, bodies buffered. Neither streaming nor keys: `authLevel` is not enforced. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const functions = options.functions.toSorted((a, b) => compareRoutes(a.trigger.route, b.trigger.route))
  let stopping = false
  const server = createServer((request, response) => {
    // A connection that is kept alive would hold up the stop until its caller lets go of it.
    response.once('finish', () => {
      if (stopping) setImmediate(() => server.closeIdleConnections())
    })
    answer({ ...options, functions }, request, response).catch((error: unknown) => {
      const status = error instanceof RequestError ? error.status : 500
      if (status === 500) options.log({ level: 'error', category: 'host', message: `http: ${toError(error).message}` })
      if (response.headersSent) response.destroy()
      else response.writeHead(status).end(error instanceof RequestError ? `${error.message}\n` : undefined)
    })
  })
  await listen(server, options.port)
  const { port } = server.address() as AddressInfo
  return {
    port,
    stop: () =>
      new Promise((resolve) => {
        stopping = true
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
    cut: () => server.closeAllConnections(),
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ConfigError([`port ${port}: expected to be free on 127.0.0.1, got ${error.message}`], { cause: error }),
      ),
    )
    server.listen(port, '127.0.0.1', resolve)
  })
}

async function answer(options: HttpServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = parseUrl(request)
  if (url.pathname.startsWith(ADMIN_PATH)) {
    const name = url.pathname.slice(ADMIN_PATH.length)
    response.writeHead(await runFunction(options, name, request)).end()
    return
  }
  const found = findFunction(options.functions, request.method ?? 'GET', url.pathname)
  // A method that no function of this path takes is 404 in the real host too, not 405 (azure-functions-host#10098).
  if (!found) throw new RequestError(404, `${request.method} ${url.pathname}: expected a route of a function, got none`)
  const data = { http: await toRpcHttp(request, url, found.params) }
  const traceParent = headerOf(request, 'traceparent')
  let returned: RpcTypedData | null | undefined
  try {
    returned = (await options.invoker.invoke(found.target, { data, traceParent })).returnValue
  } catch {
    // The invoker has logged it; a caller learns nothing, as in the real host.
    response.writeHead(500).end()
    return
  }
  writeResponse(response, returned?.http)
}

/** `POST /admin/functions/<name>` with `{"input": "…"}` starts a function and does not wait for its end. */
async function runFunction(options: HttpServerOptions, name: string, request: IncomingMessage): Promise<number> {
  if (request.method !== 'POST')
    throw new RequestError(404, `${ADMIN_PATH}${name}: expected POST, got ${request.method}`)
  const text = Buffer.from(await readBody(request)).toString('utf8')
  const running = options.runByHand(name, parseAdminInput(text))
  if (!running)
    throw new RequestError(404, `function ${name}: expected a timer or queue function, got none of that name`)
  running.catch(() => undefined)
  return 202
}

const adminBody = z.object({ input: z.unknown() })

function parseAdminInput(text: string): string {
  try {
    const { input } = adminBody.parse(text === '' ? {} : JSON.parse(text))
    return typeof input === 'string' ? input : (JSON.stringify(input) ?? '')
  } catch {
    throw new RequestError(400, `body: expected {"input": …}, got ${text.slice(0, 100)}`)
  }
}

function findFunction(functions: readonly HttpFunction[], method: string, path: string) {
  try {
    for (const target of functions) {
      const { methods, route } = target.trigger
      const params = methods.length === 0 || methods.includes(method) ? matchRoute(route, path) : undefined
      if (params) return { target, params }
    }
    return undefined
  } catch {
    throw new RequestError(400, `path: expected percent-encoded UTF-8, got ${path}`)
  }
}

function parseUrl(request: IncomingMessage): URL {
  const text = `http://${request.headers.host ?? 'localhost'}${request.url ?? '/'}`
  if (!URL.canParse(text)) throw new RequestError(400, `request: expected an address, got ${text}`)
  return new URL(text)
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const buffer: Buffer = chunk
    bytes += buffer.byteLength
    if (bytes > BODY_BYTES_MAX) throw new RequestError(413, `body: expected at most ${BODY_BYTES_MAX} bytes, got more`)
    chunks.push(buffer)
  }
  return Buffer.concat(chunks)
}

async function toRpcHttp(request: IncomingMessage, url: URL, params: Record<string, string>): Promise<RpcHttp> {
  const nullable = (entries: Iterable<readonly [string, string]>) => {
    const merged: Record<string, { value: string }> = {}
    // Repeated names are joined by commas: what .NET makes of several values.
    for (const [key, value] of entries) merged[key] = { value: merged[key] ? `${merged[key].value},${value}` : value }
    return merged
  }
  const headers = Object.keys(request.headers).map((name) => [name, headerOf(request, name) ?? ''] as const)
  return {
    method: request.method ?? 'GET',
    url: url.href,
    nullableHeaders: nullable(headers),
    nullableQuery: nullable(url.searchParams),
    nullableParams: nullable(Object.entries(params)),
    body: { bytes: await readBody(request) },
  }
}

/** A handler that returns nothing answers 204. */
function writeResponse(response: ServerResponse, http: RpcHttp | undefined): void {
  if (!http) {
    response.writeHead(204).end()
    return
  }
  for (const [name, value] of Object.entries(http.headers ?? {})) response.setHeader(name, value)
  if (http.cookies?.length) response.setHeader('set-cookie', http.cookies.map(cookieText))
  response.writeHead(Number(http.statusCode ?? 200))
  const body = http.body?.bytes ?? http.body?.string ?? http.body?.json
  response.end(body)
}

function cookieText(cookie: RpcCookie): string {
  const seconds = cookie.expires?.value?.seconds
  const sameSite = { none: undefined, lax: 'Lax', strict: 'Strict', explicitNone: 'None' }[cookie.sameSite ?? 'none']
  const parts = [
    `${cookie.name ?? ''}=${encodeURIComponent(cookie.value ?? '')}`,
    cookie.domain && `Domain=${cookie.domain.value}`,
    cookie.path && `Path=${cookie.path.value}`,
    seconds === undefined ? undefined : `Expires=${new Date(seconds * 1000).toUTCString()}`,
    cookie.maxAge && `Max-Age=${cookie.maxAge.value}`,
    cookie.secure?.value && 'Secure',
    cookie.httpOnly?.value && 'HttpOnly',
    sameSite && `SameSite=${sameSite}`,
  ]
  return parts.filter(Boolean).join('; ')
}
