import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ROUTE_PREFIX } from '../../shared/metadata/service/request.ts'
import { ROUTES } from '../../shared/metadata/service/routes.ts'
import { removeTemporaryFolders, startTestHost, type TestHost } from '../jobs/fixtures/functions-host/harness.ts'
import { TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

describe('the metadata service as functions of the local host', () => {
  const bench = useService()
  let started: TestHost
  beforeAll(async () => {
    Object.assign(globalThis, { metadataServiceUnderTest: { service: bench.service, prefix: ROUTE_PREFIX } })
    started = await startTestHost(['../../../metadata/fixtures/metadata-api.mjs'])
  })
  afterAll(async () => {
    await started?.host.stop({ graceMs: 5_000 })
    await removeTemporaryFolders()
  })
  const stored = z.object({ recordId: z.uuid() })
  const latestOne = z.object({ record: stored })
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${started.host.port}/api/metadata/v1${path}`, {
      ...init,
      headers: { authorization: `Bearer ${bench.tokens.ours}`, ...init.headers },
    })

  test('every route is one function', () => {
    expect(started.host.functions.toSorted()).toEqual(ROUTES.map(({ operationId }) => `metadata-${operationId}`).sort())
  })

  test('bodies, packed ones too, queries, parameters of the path and headers arrive; answers come back whole', async () => {
    const record = volume(0, { target: { ...TARGET, table: 'ä/b' } })
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    const answer = await ask('/records', { method: 'POST', headers, body: gzipSync(JSON.stringify(record)) })
    expect(answer.status).toBe(201)
    const { recordId } = stored.parse(await answer.json())
    expect(answer.headers.get('location')).toBe(`/api/metadata/v1/records/${recordId}`)
    const named = new URLSearchParams({ sourceId: 'alpaca', schema: 'bars', table: 'ä/b', kind: 'ingestion_volume' })
    const latest = await ask(`/records/latest?${named}`)
    expect(latestOne.parse(await latest.json()).record.recordId).toBe(recordId)
    const again = await ask(`/records/${recordId}`, { headers: { 'if-none-match': `"${recordId}"` } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })

  test('a literal wins over a parameter, and a method that no route has is no route', async () => {
    expect((await ask('/records/latest')).status).toBe(400)
    expect((await ask('/records/x')).status).toBe(404)
    expect((await ask('/records', { method: 'PUT' })).status).toBe(404)
  })

  test('without a body and without a token: the problem, as JSON', async () => {
    const answer = await fetch(`http://127.0.0.1:${started.host.port}/api/metadata/v1/records`, { method: 'POST' })
    expect([answer.status, answer.headers.get('content-type')]).toEqual([401, 'application/problem+json'])
  })
})
