import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { type ContentFault, type Fault, type FaultPlan, faultOf } from './faults.ts'

export type SimulatedRequest = {
  /** 1 for the first request since the faults were set. */
  readonly count: number
  readonly atMs: number
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
}

export type SimulatedAnswer = {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

/** A request as it was taken, and the status it got; null where it got none. */
export type RecordedRequest = SimulatedRequest & { readonly status: number | null; readonly fault: Fault | undefined }

/** What every simulator can be told. */
export type SimulatorOptions = {
  /** 0, a free one, unless it says otherwise. */
  readonly port?: number
  readonly faults?: FaultPlan
  /** The provider's clock, ms since 1970. */
  readonly now?: () => number
  /** Compress what the client accepts compressed, as providers do; false answers in no content coding. */
  readonly compress?: boolean
}

export type SimulatorSettings = SimulatorOptions & {
  /** What the provider says; `fault` is one of its content or undefined. */
  readonly respond: (request: SimulatedRequest, fault: ContentFault | undefined) => SimulatedAnswer
  /** How the provider spells an error. */
  readonly errorBody: (status: number, message: string) => string
}

export type Simulator = {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string
  /** The newest requests, oldest first. */
  readonly requests: readonly RecordedRequest[]
  readonly setFaults: (faults: FaultPlan) => void
  /** Also cuts the connections that a stall holds open. */
  readonly close: () => Promise<void>
}

/** A simulator may run for weeks beside the local stack. */
const REQUESTS_KEPT_MAX = 10_000
const COMPRESS_BYTES_MIN = 1_024

/** An HTTP server on the loopback address that answers as `respond` says, but for the faults. */
export async function startSimulatorServer(settings: SimulatorSettings): Promise<Simulator> {
  const now = settings.now ?? Date.now
  let faults = settings.faults ?? []
  let count = 0
  const requests: RecordedRequest[] = []
  const server = createServer((incoming, outgoing) => {
    count++
    const request = requestOf(incoming, count, now())
    const fault = faultOf(faults, request)
    const recorded = { ...request, status: null as number | null, fault }
    requests.push(recorded)
    if (requests.length > REQUESTS_KEPT_MAX) requests.shift()
    answer(settings, { request, fault, outgoing }).then(
      (status) => {
        recorded.status = status
      },
      (error: Error) => {
        // A mistake in the simulator must not look like a fault that was asked for.
        process.stderr.write(`simulator of ${request.path}: ${error.stack}\n`)
        outgoing.destroy()
      },
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(settings.port ?? 0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    setFaults(next) {
      faults = next
      count = 0
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

type Exchange = {
  readonly request: SimulatedRequest
  readonly fault: Fault | undefined
  readonly outgoing: ServerResponse
}

/** Sends the answer, spoiled by the fault; returns its status, null where none is sent. */
async function answer(settings: SimulatorSettings, { request, fault, outgoing }: Exchange): Promise<number | null> {
  if (fault?.kind === 'stall') return null
  if (fault?.kind === 'reset') {
    outgoing.socket?.resetAndDestroy()
    return null
  }
  if (fault?.kind === 'latency') await sleep(fault.ms)
  const { status, headers, body } = answerOf(settings, request, fault)
  const acceptsGzip = request.headers['accept-encoding']?.includes('gzip') ?? false
  const gzipHeader = acceptsGzip && fault?.kind === 'gzip-header-only'
  const gzipBoth = acceptsGzip && settings.compress !== false && !gzipHeader && body.length >= COMPRESS_BYTES_MIN
  const bytes = gzipBoth || fault?.kind === 'gzip-body-only' ? gzipSync(body, { level: 1 }) : Buffer.from(body)
  const sent = fault?.kind === 'cut' ? bytes.subarray(0, Math.floor(bytes.length * fault.keep)) : bytes
  outgoing.writeHead(status, {
    'content-type': 'application/json; charset=UTF-8',
    ...headers,
    'content-length': sent.length,
    ...((gzipBoth && fault?.kind !== 'gzip-body-only') || gzipHeader ? { 'content-encoding': 'gzip' } : {}),
  })
  if (fault?.kind === 'truncate') {
    outgoing.write(sent.subarray(0, Math.floor(sent.length * fault.keep)), () => outgoing.destroy())
  } else {
    outgoing.end(sent)
  }
  return status
}

function answerOf(settings: SimulatorSettings, request: SimulatedRequest, fault: Fault | undefined): SimulatedAnswer {
  const error = (status: number, message: string, retryAfter: string | undefined): SimulatedAnswer => ({
    status,
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
    body: settings.errorBody(status, message),
  })
  switch (fault?.kind) {
    case 'throttle':
      return error(429, 'too many requests.', fault.retryAfter)
    case 'error':
      return error(fault.status, fault.message ?? 'internal server error', fault.retryAfter)
    case 'html': {
      const body = `<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>${'<p>wait</p>'.repeat(400)}</body></html>`
      return { status: 200, headers: { 'content-type': 'text/html' }, body }
    }
    case 'body':
      return { status: 200, body: fault.body }
    case 'content-type': {
      const good = settings.respond(request, undefined)
      return { ...good, headers: { ...good.headers, 'content-type': fault.value } }
    }
    case 'field':
    case 'duplicate-row':
    case 'empty-page':
      return settings.respond(request, fault)
    default:
      return settings.respond(request, undefined)
  }
}

function requestOf(incoming: IncomingMessage, count: number, atMs: number): SimulatedRequest {
  const url = new URL(incoming.url ?? '/', 'http://127.0.0.1')
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, String(value)])
  return {
    count,
    atMs,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: Object.fromEntries(headers),
  }
}
