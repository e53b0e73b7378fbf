import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTelemetry, type TelemetryOptions } from '../../shared/log/telemetry.ts'
import { enterTrace } from '../../shared/log/trace-context.ts'

type Envelope = {
  readonly tags: Readonly<Record<string, string>>
  readonly data: { readonly baseType: string; readonly baseData: Readonly<Record<string, unknown>> }
}

const received: Envelope[] = []
/** Takes what Application Insights would take. */
const ingestion = createServer(async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  const text = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8')
  if (request.url?.endsWith('/track')) {
    const envelopes = JSON.parse(text) as Envelope[]
    received.push(...envelopes)
    const count = envelopes.length
    response.end(JSON.stringify({ itemsReceived: count, itemsAccepted: count, errors: [] }))
  } else response.end('{}')
})

beforeAll(() => new Promise<void>((resolve) => ingestion.listen(0, '127.0.0.1', resolve)))
afterAll(() => new Promise<void>((resolve) => ingestion.close(() => resolve())))

type HttpClient = NonNullable<TelemetryOptions['httpClient']>

const overHttp: HttpClient['sendRequest'] = async (request) => {
  const headers = request.headers.toJSON()
  const answer = await fetch(request.url.replace('https:', 'http:'), {
    method: request.method,
    headers,
    body: request.body as string | Uint8Array<ArrayBuffer>,
  })
  return { request, status: answer.status, headers: request.headers, bodyAsText: await answer.text() }
}

function telemetry() {
  const { port } = ingestion.address() as AddressInfo
  const key = '00000000-0000-0000-0000-000000000001'
  const connectionString = `InstrumentationKey=${key};IngestionEndpoint=https://127.0.0.1:${port}/`
  return createTelemetry({ connectionString, credential: undefined, httpClient: { sendRequest: overHttp } })
}

test('every operation of a client is a span of the invocation that it was done for', async () => {
  const { hook, flush } = telemetry()
  const put = { client: 'blob', action: 'put', subject: 'raw/a.json.gz' } as const
  const publish = { client: 'postgres', action: 'query', subject: 'publish_ingest' } as const
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  await (async () => {
    enterTrace(`00-${traceId}-00f067aa0ba902b7-01`)
    expect(await hook(put, async () => 7)).toBe(7)
    await expect(hook(publish, () => Promise.reject(new TypeError('secret')))).rejects.toThrow('secret')
  })()
  await flush()
  const calls = received.filter(({ data }) => data.baseType === 'RemoteDependencyData')
  const spans = calls.map(({ tags, data }) => ({ trace: tags['ai.operation.id'], ...data.baseData }))
  expect(spans).toMatchObject([
    { trace: traceId, name: 'blob put', success: true, properties: { 'tributary.subject': 'raw/a.json.gz' } },
    { trace: traceId, name: 'postgres query', success: false, properties: { 'tributary.subject': 'publish_ingest' } },
  ])
  // Of an error only its name: its text may hold what nobody may read here.
  expect(JSON.stringify(received)).not.toContain('secret')
})

test('without an operation nothing is loaded and nothing is sent', async () => {
  await expect(telemetry().flush()).resolves.toBeUndefined()
})
