import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { openRemoteRepository, type RemoteRepositoryOptions } from '../../shared/metadata/remote/http-repository.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { COUNTS, counted, TARGET, volume } from './fact.ts'
import { type ServedMetadata, serveMetadata } from './remote-bench.ts'
import { type Fault, type FaultyProxy, startProxy } from './remote-proxy.ts'

describe('the remote repository', () => {
  const environment = useTestEnvironment()
  let served: ServedMetadata
  let proxy: FaultyProxy
  let token: string
  beforeAll(async () => {
    served = await serveMetadata(environment.databaseUrl)
    proxy = await startProxy(served.url)
    token = await served.token({ tenant: 'ours' })
  })
  afterAll(async () => {
    await proxy.close()
    await served.close()
  })
  beforeEach(() => proxy.next())

  const remote = (options: Partial<RemoteRepositoryOptions> = {}) =>
    openRemoteRepository({ url: proxy.url, token, backoffBaseMs: 1, ...options })
  const fact = (table: string, fields: Partial<NewMetadataRecord> = {}) =>
    volume(0, { target: { ...TARGET, table }, ...fields })
  const series = (table: string) => ({ target: { ...TARGET, table }, kind: 'ingestion_volume' })
  const storedOf = async (table: string) => (await remote().history(series(table))).records.length

  describe('writing', () => {
    test('a batch whose answer was lost is sent again, the same bytes, and is stored once', async () => {
      proxy.next('lost', 'cut')
      const results = await remote().bulkStore([fact('lost'), fact('lost', { scope: 's' })])
      expect(results.map(({ outcome }) => outcome)).toEqual(['replayed', 'replayed'])
      expect(proxy.seen).toHaveLength(3)
      expect(new Set(proxy.seen.map(({ body }) => body)).size).toBe(1)
      expect(await storedOf('lost')).toBe(1)
    })

    test.each<[string, Fault]>([
      ['no connection', 'refuse'],
      ['408', { status: 408 }],
      ['429', { status: 429, headers: { 'retry-after': '0' } }],
      ['500', { status: 500 }],
      ['503', { status: 503, body: '<html>' }],
    ])('%s is tried again', async (what, fault) => {
      proxy.next(fault, fault)
      expect(await remote().store(fact(what))).toMatchObject({ outcome: 'stored' })
      expect(proxy.seen).toHaveLength(3)
    })

    test('a service that stays away is asked five times, then the caller is told to come later', async () => {
      proxy.always({ status: 503 })
      await expect(remote().store(fact('away'))).rejects.toMatchObject({ name: 'TransientError' })
      expect(proxy.seen).toHaveLength(5)
    })

    test('who asks for more than a minute is not waited for', async () => {
      proxy.always({ status: 429, headers: { 'retry-after': '61' } })
      await expect(remote().store(fact('later'))).rejects.toMatchObject({
        name: 'ThrottledError',
        retryAfterMs: 61_000,
      })
      expect(proxy.seen).toHaveLength(1)
    })

    test('a service that hangs ends with the time that a write has', async () => {
      proxy.always('hang')
      await expect(remote({ writeMs: 50 }).store(fact('hangs'))).rejects.toMatchObject({ name: 'TransientError' })
    })

    test.each<[string, Fault, string]>([
      ['a page of another server', { status: 404, body: '<html>not here</html>' }, 'ContractError'],
      ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'ContractError'],
      ['an answer of something else', { status: 200, body: '{"ok":true}' }, 'ContractError'],
      ['no answer to each record', { status: 200, body: '{"results":[]}' }, 'ContractError'],
      ['a gateway that wants a sign-in', { status: 401, body: '' }, 'AuthError'],
    ])('%s is not tried again', async (_what, fault, name) => {
      proxy.always(fault)
      await expect(remote().store(fact('never'))).rejects.toMatchObject({ name })
      expect(proxy.seen).toHaveLength(1)
    })

    test('a token that the service does not know, or that may write nothing, is told of as such', async () => {
      const refused = { name: 'AuthError' }
      await expect(remote({ token: 'trb_test_x' }).store(fact('token'))).rejects.toMatchObject(refused)
      const reader = await served.token({ tenant: 'ours', permissions: ['records:read'] })
      await expect(remote({ token: reader }).store(fact('token'))).rejects.toThrow(/records:write:/)
      expect(proxy.seen).toHaveLength(2)
    })

    test('a record that the token may not write is refused by itself', async () => {
      const narrow = await served.token({ tenant: 'ours', permissions: ['records:write:ingestion_volume'] })
      const other = { ...fact('narrow'), kind: 'schedule', payload: { frequency: '1h' } }
      const [first, second] = await remote({ token: narrow }).bulkStore([fact('narrow'), other])
      expect(first).toMatchObject({ outcome: 'stored' })
      expect(second).toMatchObject({ outcome: 'refused', problem: { retriable: false } })
      expect(second?.outcome === 'refused' && `${second.problem.code} ${second.problem.detail}`).toContain('permission')
    })

    test('only what may be stored later is sent again, by itself, the same bytes', async () => {
      const late = fact('gap', { revision: 1, payload: counted(2) })
      const first = fact('gap', { payload: counted(1) })
      proxy.next('pass', { status: 503 })
      const writing = remote({ backoffBaseMs: 200 }).bulkStore([late, fact('beside gap')])
      while (proxy.seen[1] === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
      await openRemoteRepository({ url: served.url, token }).store(first)
      expect((await writing).map(({ outcome }) => outcome)).toEqual(['stored', 'stored'])
      const sent = proxy.seen.map(({ body }) => body)
      expect(sent[0]).toContain('beside gap')
      expect(new Set(sent.slice(1))).toEqual(new Set([`{"records":[${JSON.stringify(late)}]}`]))
    })

    test('requests hold at most 500 records and 1 MiB', async () => {
      await remote().bulkStore(Array.from({ length: 1_001 }, (_, n) => fact('many', { scope: String(n) })))
      expect(proxy.seen.map(({ body }) => JSON.parse(body).records.length)).toEqual([500, 500, 1])
      proxy.next()
      const large = (scope: string) => fact('large', { scope, extras: { note: 'x'.repeat(240_000) } })
      const results = await remote().bulkStore(['a', 'b', 'c', 'd', 'e'].map(large))
      expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['stored']))
      expect(proxy.seen.map(({ body }) => JSON.parse(body).records.length)).toEqual([4, 1])
    })

    test('what something in between finds too large goes in halves, down to the record that does not fit', async () => {
      const tooLarge = { status: 413 }
      proxy.next(tooLarge, tooLarge, tooLarge)
      const results = await remote().bulkStore(['a', 'b', 'c'].map((scope) => fact('halves', { scope })))
      expect(results.map((one) => (one.outcome === 'refused' ? one.problem.code : one.outcome))).toEqual([
        'record-too-large',
        'stored',
        'stored',
      ])
    })

    test.each<[string, unknown, string]>([
      ['no number', { ...COUNTS, records: Number.NaN }, 'record-schema-invalid'],
      ['no JSON', { ...COUNTS, at: new Date(0) }, 'record-schema-invalid'],
      ['more than a request holds', { note: 'x'.repeat(1_100_000) }, 'record-too-large'],
    ])('%s is refused without a request', async (_what, payload, code) => {
      const result = await remote().store(fact('no json', { payload: payload as NewMetadataRecord['payload'] }))
      expect(result).toMatchObject({ outcome: 'refused', problem: { code } })
      expect(proxy.seen).toHaveLength(0)
    })
  })

  describe('reading', () => {
    test('latest is asked for with the ETag of the last answer', async () => {
      await remote().store(fact('etag'))
      const repository = remote()
      proxy.next()
      const first = await repository.latest(series('etag'))
      expect(await repository.latest(series('etag'))).toEqual(first)
      await repository.store(volume(1, { target: { ...TARGET, table: 'etag' } }))
      expect((await repository.latest(series('etag')))?.changeNo).toBe(2)
      expect(proxy.seen.map(({ status }) => status)).toEqual([200, 304, 200, 200])
    })

    test.each<Fault>(['hang', 'refuse', 'cut', { status: 503 }, { status: 429, headers: { 'retry-after': '30' } }])(
      'the last answer serves for five minutes where there is none: %s',
      async (fault) => {
        let now = 0
        const repository = remote({ clock: () => now, ...(fault === 'hang' && { readMs: 1_000 }) })
        await repository.store(fact('stale'))
        const known = await repository.latest(series('stale'))
        expect(known).not.toBeNull()
        proxy.always(fault)
        now = 299_999
        expect(await repository.latest(series('stale'))).toEqual(known)
        now = 300_000
        await expect(repository.latest(series('stale'))).rejects.toThrow(/metadata service GET/)
      },
    )

    test('the last answers to many serve together, or not at all; that there was none is an answer', async () => {
      const repository = remote()
      await repository.store(fact('many known'))
      const asked = [series('many known'), series('many nothing')]
      const known = await repository.latestOfMany(asked)
      expect(known.map((latest) => latest === null)).toEqual([false, true])
      proxy.always('refuse')
      expect(await repository.latestOfMany(asked)).toEqual(known)
      expect(await repository.latest(series('many known'))).toEqual(known[0])
      const more = [...asked, series('many else')]
      await expect(repository.latestOfMany(more)).rejects.toMatchObject({ name: 'TransientError' })
    })

    test('who gives the token is waited for no longer than the service is', async () => {
      const never = () => new Promise<string>(() => undefined)
      await expect(remote({ token: never, readMs: 50 }).query({})).rejects.toMatchObject({ name: 'TransientError' })
      const asked: string[] = []
      const given = async () => {
        asked.push('token')
        return token
      }
      const repository = remote({ token: given })
      await repository.query({})
      await repository.query({})
      expect(asked).toHaveLength(2)
    })

    test('of a kind that nobody knows there is nothing, as in every repository', async () => {
      const unknown = { target: TARGET, kind: 'no_such_kind' }
      expect(await remote().latest(unknown)).toBeNull()
      expect(await remote().history(unknown)).toEqual({ records: [], next: null })
    })

    test('a page of another server is no empty page', async () => {
      proxy.always({ status: 404, body: '<html>' })
      await expect(remote().query({})).rejects.toMatchObject({ name: 'ContractError' })
      await expect(remote().latest(series('x'))).rejects.toMatchObject({ name: 'ContractError' })
    })

    test("another tenant's records are never taken for one's own", async () => {
      const theirs = remote({ token: await served.token({ tenant: 'theirs' }), environment: { tenant: 'ours' } })
      expect(await theirs.store(fact('mixed'))).toMatchObject({ problem: { code: 'wrong-tenant' } })
      await remote({ token: await served.token({ tenant: 'theirs' }) }).store(fact('mixed'))
      await expect(theirs.latest(series('mixed'))).rejects.toThrow(/expected one of tenant ours, got one of theirs/)
      await expect(theirs.query({})).rejects.toThrow(/expected one of tenant ours, got one of theirs/)
    })
  })

  test.each(['ftp://example.org', 'nonsense', 'https://user:secret@example.org', 'https://example.org/?code=1'])(
    'the address %s is refused, without its secrets',
    (url) => {
      expect(() => remote({ url })).toThrow(/url of the metadata service: expected/)
      expect(() => remote({ url })).not.toThrow(/secret/)
    },
  )

  test('an address names the deployment or its routes', async () => {
    const { origin } = new URL(served.url)
    for (const url of [origin, `${origin}/`, served.url, `${served.url}/`]) {
      expect(await remote({ url }).query({ runId: 'none' })).toEqual({ records: [], next: null })
    }
  })
})
