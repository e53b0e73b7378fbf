import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * pass: to the service and back · lost: the service does it, and its answer never comes · cut: half of the answer ·
 * refuse: the connection ends at once · hang: nothing ever comes · else that status, without the service
 */
export type Fault =
  | 'pass'
  | 'lost'
  | 'cut'
  | 'refuse'
  | 'hang'
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }

export type Seen = { readonly method: string; readonly path: string; readonly body: string; status: number | null }

export type FaultyProxy = {
  readonly url: string
  readonly seen: readonly Seen[]
  /** For the next requests, one each; then all pass. */
  readonly next: (...faults: readonly Fault[]) => void
  /** For every request from now on. */
  readonly always: (fault: Fault) => void
  readonly close: () => Promise<void>
}

/** Between a client and the service whose routes `target` names. */
export async function startProxy(target: string): Promise<FaultyProxy> {
  const seen: Seen[] = []
  let planned: Fault[] = []
  let otherwise: Fault = 'pass'
  const { origin, pathname: base } = new URL(target)

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(Buffer.from(chunk))
    const body = Buffer.concat(chunks)
    const one: Seen = { method: request.method ?? '', path: request.url ?? '', body: body.toString(), status: null }
    seen.push(one)
    const fault = planned.shift() ?? otherwise
    if (fault === 'hang') return
    if (fault === 'refuse') return void response.destroy()
    if (typeof fault === 'object') {
      one.status = fault.status
      return void response.writeHead(fault.status, fault.headers).end(fault.body)
    }
    const headers = new Headers()
    for (const name of ['authorization', 'content-type', 'if-none-match']) {
      const value = request.headers[name]
      if (typeof value === 'string') headers.set(name, value)
    }
    const given = { method: one.method, headers, ...(body.length > 0 && { body }) }
    const told = await fetch(`${origin}${one.path}`, given)
    const text = await told.text()
    one.status = told.status
    if (fault === 'lost') return void response.destroy()
    const kept = [...told.headers].filter(
      ([name]) => !['content-length', 'transfer-encoding', 'connection'].includes(name),
    )
    response.writeHead(told.status, { ...Object.fromEntries(kept), 'content-length': Buffer.byteLength(text) })
    if (fault === 'pass') return void response.end(text)
    response.write(text.slice(0, text.length / 2), () => response.destroy())
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(599).end(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}${base}`,
    seen,
    next(...faults) {
      planned = [...faults]
      otherwise = 'pass'
      seen.length = 0
    },
    always(fault) {
      planned = []
      otherwise = fault
      seen.length = 0
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
