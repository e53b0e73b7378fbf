import { beforeEach, describe, expect, test } from 'vitest'
import { restartFeed } from '../../shared/metadata/feed/feed.ts'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import { COUNTS, counted, TARGET, volume } from './fact.ts'
import { useService } from './service-bench.ts'

const NAMED = 'sourceId=alpaca&schema=bars&kind=ingestion_volume'

describe('the metadata service', () => {
  const bench = useService()
  const { ask } = bench
  const target = (table: string) => ({ ...TARGET, table })

  describe('storing', () => {
    test('answers 201 with the place of what is stored, which is there', async () => {
      const body = volume(0, {
        target: { ...target('one'), extras: { owner: 'markets' } },
        scope: 'a/b',
        key: 'mine',
        links: { inputs: [target('in')], outputs: [target('out')], baselineRuns: ['b'], parent: 'p' },
        extras: { lane: 'live' },
      })
      const answer = await ask('POST', '/records', { body })
      expect(answer.status).toBe(201)
      const { recordId } = answer.body
      expect(answer.body).toEqual({ outcome: 'stored', recordId })
      expect(answer.headers.get('location')).toBe(`/api/metadata/v1/records/${recordId}`)
      expect(answer.headers.get('etag')).toBe(`"${recordId}"`)
      expect(answer.headers.get('cache-control')).toBe('private, no-store')
      const found = await ask('GET', `/records/${recordId}`)
      expect(found.body).toMatchObject({
        recordId,
        target: target('one'),
        context: { environment: { tenant: 'ours' } },
      })
    })

    test('what was stored before is answered with 200 and the id of then', async () => {
      const body = volume(0, { target: target('replay') })
      const first = await ask('POST', '/records', { body })
      const second = await ask('POST', '/records', { body: { ...body, producedAt: '2025-02-01T00:00:00Z' } })
      expect(second.status).toBe(200)
      expect(second.headers.get('idempotency-replayed')).toBe('true')
      expect(second.body).toEqual({ outcome: 'replayed', recordId: first.body.recordId })
    })

    test('something else said of the same fact is 409 that names what is stored', async () => {
      const body = volume(0, { target: target('conflict'), payload: counted(1) })
      const first = await ask('POST', '/records', { body })
      const second = await ask('POST', '/records', { body: { ...body, payload: counted(2) } })
      expect(second.status).toBe(409)
      expect(second.body).toMatchObject({
        type: '/api/metadata/v1/problems/idempotency-conflict',
        retriable: false,
        recordId: first.body.recordId,
      })
    })

    test('a revision before its predecessor is 409 and may be tried again', async () => {
      const body = volume(0, { target: target('gap'), revision: 1 })
      const answer = await ask('POST', '/records', { body })
      expect(answer.status).toBe(409)
      expect(answer.body).toMatchObject({ type: '/api/metadata/v1/problems/revision-gap', retriable: true })
    })

    test('each record of a batch has a result of its own, in order, and one bad one takes none with it', async () => {
      const good = (day: number) => volume(day, { target: target('batch') })
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
      const records = [
        good(0),
        { ...good(1), kind: 'other' },
        good(0),
        null,
        { ...good(2), payload: { ...COUNTS, records: -1, name: 'a\u0000b' } },
        { ...good(3), extras: { deep: 'here' } },
        { ...good(4), context: { namespace: 'x', environment: { tenant: 'theirs' } } },
        { ...good(0), payload: counted(1) },
        good(5),
      ]
      const text = JSON.stringify({ records }).replace('"here"', deep)
      const { status, body } = await ask('POST', '/records/batch', { body: text })
      expect(status).toBe(200)
      const told = body.results.map(({ outcome, problem }: { outcome: string; problem?: { type: string } }) =>
        problem ? problem.type.split('/').at(-1) : outcome,
      )
      expect(told).toEqual([
        'stored',
        'unknown-kind',
        'replayed',
        'record-schema-invalid',
        'record-schema-invalid',
        'record-schema-invalid',
        'wrong-tenant',
        'idempotency-conflict',
        'stored',
      ])
    })

    test('a batch of none is answered, one of 501 is refused', async () => {
      expect((await ask('POST', '/records/batch', { body: { records: [] } })).body).toEqual({ results: [] })
      const many = Array.from({ length: 501 }, () => 0)
      const answer = await ask('POST', '/records/batch', { body: { records: many } })
      expect([answer.status, answer.body.type]).toEqual([413, '/api/metadata/v1/problems/batch-too-large'])
    })

    test('those who follow the feed are told of what was stored, and of nothing else', async () => {
      const body = volume(0, { target: target('announced') })
      const before = bench.announced
      await ask('POST', '/records', { body })
      expect(bench.announced).toBe(before + 1)
      await ask('POST', '/records', { body })
      await ask('POST', '/records', { body: {} })
      expect(bench.announced).toBe(before + 1)
    })
  })

  describe('latest', () => {
    test('of a series comes with an ETag that its next record changes, and says where history is', async () => {
      const path = `/records/latest?${NAMED}&table=etag`
      await bench.ours.store(volume(0, { target: target('etag') }))
      const first = await ask('GET', path)
      expect(first.body).toMatchObject({ changeNo: 1, history: { hotSince: null } })
      const history = await ask('GET', first.body.history.href.replace('/api/metadata/v1', ''))
      expect(history.body.records).toEqual([first.body.record])
      const etag = first.headers.get('etag') ?? ''
      const again = await ask('GET', path, { headers: { 'if-none-match': `"other", ${etag}` } })
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag])
      await bench.ours.store(volume(1, { target: target('etag') }))
      const next = await ask('GET', path, { headers: { 'if-none-match': etag } })
      expect([next.status, next.body.changeNo]).toEqual([200, 2])
    })

    test('says since which day records of the kind are hot', async () => {
      await bench.ours.store(volume(0, { target: target('hot') }))
      await bench.query(`insert into metadata.compaction (kind, below) values ('ingestion_volume', '2024-03-01')`)
      const { body } = await ask('GET', `/records/latest?${NAMED}&table=hot`)
      expect(body.history.hotSince).toBe('2024-03-01')
      await bench.query('delete from metadata.compaction')
    })

    test('no record is another problem than no such kind', async () => {
      const none = await ask('GET', `/records/latest?${NAMED}&table=none`)
      expect([none.status, none.body.type]).toEqual([404, '/api/metadata/v1/problems/no-record'])
      const unknown = await ask('GET', `/records/latest?${NAMED.replace('ingestion_volume', 'nothing')}&table=none`)
      expect([unknown.status, unknown.body.type]).toEqual([404, '/api/metadata/v1/problems/unknown-kind'])
    })

    test('of many series is asked in one statement, answered in order', async () => {
      const columns = [{ name: 'ts', type: 'timestamptz' }]
      await bench.ours.bulkStore([
        volume(0, { target: target('many') }),
        volume(3, { target: target('many'), scope: 'day' }),
        {
          ...volume(0, { target: target('many') }),
          kind: 'schema_snapshot',
          payload: { place: 'parquet', fingerprint: schemaFingerprint(columns), columns },
        },
      ])
      const statements: string[] = []
      bench.setHook((operation, run) => {
        statements.push(operation.subject)
        return run()
      })
      const one = { target: target('many'), kind: 'ingestion_volume' }
      const series = [
        { ...one, target: target('nothing') },
        { ...one, kind: 'schema_snapshot' },
        { ...one, kind: 'unheard_of' },
        { ...one, scope: 'day' },
        one,
        one,
        ...Array.from({ length: 494 }, (_, n) => ({ ...one, target: target(`none ${n}`) })),
      ]
      const { body } = await ask('POST', '/records/latest/query', { body: { series } })
      bench.setHook((_operation, run) => run())
      expect(statements.filter((name) => name.startsWith('latest'))).toEqual(['latest_metadata_records'])
      const told = body.results.map(
        ({ outcome, record }: { outcome: string; record?: { kind: string; scope: string } }) =>
          record ? `${record.kind} ${record.scope}` : outcome,
      )
      expect(told.slice(0, 7)).toEqual([
        'no-record',
        'schema_snapshot ',
        'unknown-kind',
        'ingestion_volume day',
        'ingestion_volume ',
        'ingestion_volume ',
        'no-record',
      ])
      expect(body.results[1].record.payload.columns).toEqual(columns)
      expect(told).toHaveLength(500)
    })
  })

  describe('reading', () => {
    test('a record never changes: it may be kept for a year, and is not sent to who has it', async () => {
      const stored = await ask('POST', '/records', { body: volume(0, { target: target('kept') }) })
      const path = `/records/${stored.body.recordId}`
      const found = await ask('GET', path)
      expect(found.headers.get('cache-control')).toBe('private, max-age=31536000')
      expect(found.headers.get('vary')).toBe('Authorization')
      const again = await ask('GET', path, { headers: { 'if-none-match': found.headers.get('etag') ?? '' } })
      expect([again.status, again.text]).toEqual([304, ''])
    })

    test('pages follow each other without a gap or a repeat', async () => {
      await bench.ours.bulkStore([4, 0, 2, 1, 3].map((day) => volume(day, { target: target('pages') })))
      const found: string[] = []
      let next = ''
      do {
        const { body } = await ask('GET', `/records?${NAMED}&table=pages&limit=2${next}`)
        found.push(...body.records.map(({ context }: { context: { runId: string } }) => context.runId))
        next = body.next === null ? '' : `&cursor=${body.next}`
      } while (next !== '')
      expect(found).toEqual(['run-4', 'run-3', 'run-2', 'run-1', 'run-0'])
    })

    test('records are found by extras that their kind declares', async () => {
      await bench.ours.bulkStore([
        volume(0, { target: target('extras'), extras: { lane: 'live' } }),
        volume(1, { target: target('extras'), extras: { lane: 'backfill' } }),
      ])
      const { body } = await ask('GET', `/records?${NAMED}&table=extras&extras.lane=backfill`)
      expect(body.records.map(({ extras }: { extras: unknown }) => extras)).toEqual([{ lane: 'backfill' }])
    })

    test('files that hold older records are named', async () => {
      await bench.query(`insert into metadata.compaction (kind, below) values ('ingestion_volume', '2024-03-01')`)
      await bench.query(`
insert into metadata.compacted_file (kind, tenant_no, stored_day, path, sha256, rows, bytes, min_effective_at, max_effective_at, first_record_id, last_record_id)
select 'ingestion_volume', tenant_no, '2024-01-05', 'compacted/' || tenant, '', 1, 1, '2024-01-01', '2024-01-05', gen_random_uuid(), gen_random_uuid()
  from metadata.tenant`)
      const files = async (range: string) =>
        (await ask('GET', `/records?kind=ingestion_volume&${range}`)).body.compacted
      expect(await files('from=2024-01-02T00:00:00Z&to=2024-02-01T00:00:00Z')).toEqual(['compacted/ours'])
      expect(await files('from=2024-02-02T00:00:00Z')).toEqual([])
      await bench.query('delete from metadata.compacted_file')
      await bench.query('delete from metadata.compaction')
    })
  })

  describe('the feed', () => {
    beforeEach(() => bench.query('delete from metadata.record'))
    const runs = (body: { records: { context: { runId: string } }[] }) =>
      body.records.map(({ context }) => context.runId)

    test('goes on from its cursor, also where nothing came', async () => {
      await bench.ours.bulkStore([volume(1, { target: target('feed') })])
      const first = await ask('GET', '/feed')
      expect(runs(first.body)).toEqual(['run-1'])
      const empty = await ask('GET', `/feed?after=${first.body.next}`)
      expect(runs(empty.body)).toEqual([])
      await bench.ours.bulkStore([volume(2, { target: target('feed') })])
      expect(runs((await ask('GET', `/feed?after=${empty.body.next}`)).body)).toEqual(['run-2'])
    })

    test('waits for what is stored meanwhile', async () => {
      const { body } = await ask('GET', '/feed')
      const looked = bench.after('read_metadata_feed')
      const waiting = ask('GET', `/feed?wait=10&after=${body.next}`)
      await looked
      await bench.ours.store(volume(3, { target: target('wait') }))
      expect(runs((await waiting).body)).toEqual(['run-3'])
    })

    test('of one kind holds no other', async () => {
      await bench.ours.bulkStore([volume(4, { target: target('kinds') })])
      expect(runs((await ask('GET', '/feed?kind=schedule')).body)).toEqual([])
    })

    test('a cursor of another question, or of a feed that was restarted, is refused', async () => {
      const { body } = await ask('GET', '/feed')
      const other = await ask('GET', `/feed?kind=schedule&after=${body.next}`)
      expect([other.status, other.body.type]).toEqual([400, '/api/metadata/v1/problems/cursor-mismatch'])
      await restartFeed(bench.db, { actor: 'test', reason: 'restored' })
      const gone = await ask('GET', `/feed?after=${body.next}`)
      expect([gone.status, gone.body.type]).toEqual([410, '/api/metadata/v1/problems/feed-gone'])
      expect(gone.body).toHaveProperty('log')
    })
  })
})
