import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { HttpClientSettings } from '../../shared/http/client.ts'
import type { HttpRequest } from '../../shared/http/exchange.ts'

export type Answering = (outgoing: ServerResponse, incoming: IncomingMessage) => void

/** A real server that gives each request the next answer, and the last one to all that follow. Ends with the test. */
export async function startScriptedServer(...answers: readonly Answering[]) {
  const requests: IncomingMessage[] = []
  const server = createServer((incoming, outgoing) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)] as Answering
    requests.push(incoming)
    answer(outgoing, incoming)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const subject = `http://${host}/bars?symbols=TSLA`
  const request: HttpRequest = { url: `${subject}&apiKey=s3cret`, subject, headers: { 'x-key': 's3cret' } }
  return { host, request, requests }
}

export function answer(status: number, body: string | Buffer = '', headers: Record<string, string> = {}): Answering {
  return (outgoing) => outgoing.writeHead(status, headers).end(body)
}

export const reset: Answering = (_outgoing, incoming) => incoming.socket.resetAndDestroy()
export const stall: Answering = () => {}

/** Three tries without long waits between them. */
export const QUICK: HttpClientSettings = { timeoutMs: 5_000, triesMax: 3, backoffBaseMs: 1 }

export function options({ bodyBytesMax = 1_000_000, signal = new AbortController().signal } = {}) {
  return { bodyBytesMax, signal }
}
