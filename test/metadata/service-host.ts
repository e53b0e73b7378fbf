import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { compareRoutes, matchRoute, parseRoute } from '../../jobs/local/functions-host/route.ts'
import type { MetadataService } from '../../shared/metadata/service/metadata-service.ts'
import { BASE_PATH, type HttpRequestLike } from '../../shared/metadata/service/request.ts'

export type ServedRoutes = { readonly url: string; readonly close: () => Promise<void> }

/** The routes on the loopback, found as the Functions host finds them. */
export async function serveRoutes(service: MetadataService): Promise<ServedRoutes> {
  const routes = service.routes
    .map((route) => ({ route, template: parseRoute(`${BASE_PATH}${route.path}`) }))
    .sort((a, b) => compareRoutes(a.template, b.template))
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    for (const { route, template } of routes) {
      const params = route.method === request.method ? matchRoute(template, pathname) : undefined
      if (params === undefined) continue
      const { status, headers, body } = await service.handle(route, toRequest(request, params))
      response.writeHead(status, headers).end(body)
      return
    }
    response.writeHead(404).end()
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(599).end(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}${BASE_PATH}`, close: () => closed(server) }
}

function toRequest(request: IncomingMessage, params: Readonly<Record<string, string>>): HttpRequestLike {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value))
  return { method: request.method ?? '', url: request.url ?? '', headers, params, body: request }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
