import { describe, expect, test } from 'vitest'
import { ROUTES } from '../../shared/metadata/service/routes.ts'
import { TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

const ID = '01890000-0000-7000-8000-000000000000'
const examples: Readonly<Record<string, string>> = {
  recordId: ID,
  kind: 'ingestion_volume',
  version: '1.0',
  tokenId: 'a'.repeat(16),
  code: 'no-record',
}
const pathOf = (path: string) => path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => examples[name] ?? name)

describe('who may ask the metadata service', () => {
  const bench = useService()
  const { ask } = bench

  test.each(ROUTES.map(({ method, path }) => [method, path] as const))(
    'without a token %s %s says that it needs one, and nothing else',
    async (method, path) => {
      const body = method === 'POST' ? '{ not even JSON' : undefined
      const answer = await ask(method, pathOf(path), { token: null, body })
      expect([answer.status, answer.body.type]).toEqual([401, '/api/metadata/v1/problems/unauthenticated'])
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(answer.headers.get('vary')).toBe('Authorization')
    },
  )

  test.each(
    ROUTES.flatMap(({ method, path, permission }) => (permission ? [[method, path, permission] as const] : [])),
  )('%s %s needs a permission, which it names: %s', async (method, path, permission) => {
    const token = await bench.token(['records:write:other'])
    const body = method === 'POST' ? '{ not even JSON' : undefined
    const answer = await ask(method, pathOf(path), { token, body })
    expect([answer.status, answer.body]).toMatchObject([
      403,
      { type: '/api/metadata/v1/problems/permission-missing', missing: permission },
    ])
  })

  test('a token writes the kinds and as the producers that it lists', async () => {
    const token = await bench.token(['records:write:schedule', 'records:write:ingestion_volume'], ['a.v1'])
    const told = async (record: unknown) => {
      const { body } = await ask('POST', '/records', { token, body: record })
      return body.outcome ?? [body.type.split('/').at(-1), body.missing]
    }
    const mine = volume(0, { producerId: 'a.v1' })
    expect(await told(mine)).toBe('stored')
    expect(await told({ ...mine, producerId: 'b.v1' })).toEqual(['producer-not-allowed', undefined])
    expect(await told({ ...mine, kind: 'ingestion_runtime' })).toEqual([
      'permission-missing',
      'records:write:ingestion_runtime',
    ])
    const batch = await ask('POST', '/records/batch', {
      token,
      body: { records: [{ ...mine, producerId: 'b.v1' }, mine] },
    })
    expect(batch.body.results).toMatchObject([{ outcome: 'refused' }, { outcome: 'replayed' }])
  })

  test.each(['ingestion.v1', 'recon.v1', 'catalog.v1', 'orchestrator.v1', 'import.v1'])(
    'the producer %s is the platform, whatever else a token may write as',
    async (producerId) => {
      const answer = await ask('POST', '/records', { body: volume(0, { producerId }) })
      expect([answer.status, answer.body.type]).toEqual([403, '/api/metadata/v1/problems/producer-not-allowed'])
    },
  )

  test('without any permission to write, what is sent is not even looked at', async () => {
    const token = await bench.token(['records:read'])
    for (const path of ['/records', '/records/batch']) {
      const answer = await ask('POST', path, { token, body: '{ not even JSON' })
      expect([answer.status, answer.body.missing]).toEqual([403, 'records:write:<kind>'])
    }
  })

  test('nothing of a tenant can be seen, changed or told from nothing by another', async () => {
    const table = 'not yours'
    const links = { outputs: [{ ...TARGET, table }] }
    const stored = await ask('POST', '/records', { body: volume(0, { target: { ...TARGET, table }, links }) })
    const { recordId } = stored.body
    const listed = await ask('GET', '/tokens')
    const tokenId = listed.body.tokens[0].tokenId
    const etag = `"${recordId}"`
    const named = new URLSearchParams({ sourceId: 'alpaca', schema: 'bars', table, kind: 'ingestion_volume' })
    const target = { ...TARGET, table }
    const series = [{ target, kind: 'ingestion_volume' }]
    const see = async (token: string) => {
      const get = async (path: string) => (await ask('GET', path, { token, headers: { 'if-none-match': etag } })).status
      const post = async (path: string, body: unknown) => (await ask('POST', path, { token, body })).body
      return {
        record: await get(`/records/${recordId}`),
        latest: (await ask('GET', `/records/latest?${named}`, { token })).status,
        many: (await post('/records/latest/query', { series })).results[0].outcome,
        list: (await ask('GET', `/records?${named}`, { token })).body.records.length,
        run: (await ask('GET', '/records?runId=run-0', { token })).body.records.length,
        feed: (await ask('GET', '/feed?kind=ingestion_volume', { token })).body.records.length,
        lineageOfRun: (await ask('GET', '/lineage?runId=run-0', { token })).status,
        lineageOfTarget: (await ask('GET', `/lineage?sourceId=alpaca&schema=bars&table=not+yours`, { token })).status,
        guard: (await post('/guards/ingestion/check', { target })).decision,
      }
    }
    expect(await see(bench.tokens.ours)).toMatchObject({
      record: 304,
      latest: 200,
      many: 'found',
      list: 1,
      lineageOfRun: 200,
    })
    const nothing = { record: 404, latest: 404, many: 'no-record', list: 0, run: 0, feed: 0, lineageOfRun: 404 }
    expect(await see(bench.tokens.theirs)).toEqual({ ...nothing, lineageOfTarget: 404, guard: 'allow' })
    for (const [method, path] of [
      ['DELETE', `/tokens/${tokenId}`],
      ['POST', `/tokens/${tokenId}/rotate`],
    ] as const) {
      const answer = await ask(method, path, { token: bench.tokens.theirs })
      expect([answer.status, answer.body.type]).toEqual([404, '/api/metadata/v1/problems/no-token'])
    }
    const same = { ...volume(0, { target, links }), context: { namespace: 'ingest', runId: 'run-0' } }
    expect((await ask('POST', '/records', { body: same, token: bench.tokens.theirs })).status).toBe(201)
  })

  test('guessing tokens ends with 429 for the address that guesses, and for no other', async () => {
    const guess = (address: string) =>
      ask('GET', '/kinds', {
        token: bench.tokens.ours.replace(/.{10}$/, 'AAAAAAAAAA'),
        headers: { 'x-forwarded-for': address },
      })
    const real = async (n: number) => {
      // A token of the right form, with a secret of its own.
      const token = await bench.token(['records:read'])
      await bench.query('delete from metadata.token where token_id = $1', [token.split('_')[2]])
      return ask('GET', '/records', { token, headers: { 'x-forwarded-for': `1.2.3.4, 203.0.113.${n}:5${n}` } })
    }
    expect((await guess('203.0.113.1')).status).toBe(401)
    const statuses: number[] = []
    for (let n = 0; n < 22; n++) statuses.push((await real(7)).status)
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401))
    expect(statuses.at(-1)).toBe(429)
    const limited = await real(7)
    expect(limited.body.retriable).toBe(true)
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await real(8)).status).toBe(401)
  })
})
