import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type {
  MetadataRepository,
  PageRequest,
  RecordFilter,
  RecordPage,
} from '../../shared/metadata/model/repository.ts'
import { COUNTS, counted, TARGET, volume } from '../metadata/fact.ts'
import { type TestEnvironment, useTestEnvironment } from '../support/environment.ts'

export type RepositoryUnderTest = {
  readonly name: string
  /** Two tenants of one store, which is empty. */
  readonly open: (environment: TestEnvironment) => Promise<{
    readonly ours: MetadataRepository
    readonly theirs: MetadataRepository
    readonly close: () => Promise<void>
  }>
}

/** What every repository does alike. Each test has a target of its own. */
export function describeRepository({ name, open }: RepositoryUnderTest): void {
  describe(`metadata repository ${name}`, () => {
    const environment = useTestEnvironment()
    let opened: Awaited<ReturnType<RepositoryUnderTest['open']>>
    beforeAll(async () => {
      opened = await open(environment)
    })
    afterAll(() => opened.close())
    const ours = () => opened.ours
    const series = (table: string) => ({ target: { ...TARGET, table }, kind: 'ingestion_volume' })
    const latestCount = async (table: string) => (await ours().latest(series(table)))?.record.payload.records
    const storeAll = async (...records: readonly NewMetadataRecord[]) =>
      (await ours().bulkStore(records)).map((result) =>
        result.outcome === 'refused' ? result.problem.code : result.outcome,
      )

    test('gives back what was stored, with an id, times of fixed width and the tenant in its context', async () => {
      const target = { ...TARGET, table: 'whole', extras: { owner: 'markets' } }
      const record: NewMetadataRecord = {
        target,
        context: {
          jobId: 'job',
          runId: 'run',
          namespace: 'ingest',
          environment: { cluster: 'c1' },
          extras: { try: 2 },
        },
        kind: 'ingestion_volume',
        kindVersion: '1.0',
        scope: '2024-01/05',
        window: { start: '2024-01-05T01:00:00+01:00', end: '2024-01-06T00:00:00.5Z' },
        payload: { ...COUNTS, filter: { symbol: 'TSLA', nested: [1, null, { deep: 'ä\n"' }] } },
        producedAt: '2024-01-06T00:01:02.123456Z',
        producerId: 'test.v1',
        quality: 'backfilled',
        links: { inputs: [TARGET], outputs: [target], baselineRuns: ['b1', 'b2'], parent: 'p' },
        extras: { lane: 'live', note: 'x' },
      }
      const stored = await ours().store(record)
      expect(stored.outcome).toBe('stored')
      const found = await ours().latest({ target, kind: 'ingestion_volume', scope: '2024-01/05' })
      const { storedAt, recordId, ...rest } = found?.record ?? { storedAt: '', recordId: '' }
      expect(recordId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
      expect(stored).toEqual({ outcome: 'stored', recordId })
      expect(storedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
      expect(rest).toEqual({
        ...record,
        context: { ...record.context, environment: { cluster: 'c1', workspace: 'test', tenant: 'ours' } },
        window: { start: '2024-01-05T00:00:00.000000Z', end: '2024-01-06T00:00:00.500000Z' },
        revision: 0,
        effectiveAt: '2024-01-06T00:00:00.500000Z',
      })
    })

    test('a record that was stored is taken as it came out, and is a replay', async () => {
      const record = volume(0, { target: { ...TARGET, table: 'copied' } })
      const stored = await ours().store(record)
      const found = await ours().latest(series('copied'))
      expect(found?.record.recordId).toBe(stored.outcome === 'stored' && stored.recordId)
      expect(await ours().store(found?.record as NewMetadataRecord)).toEqual({ ...stored, outcome: 'replayed' })
    })

    test('the columns of a schema snapshot come back, however many snapshots have them', async () => {
      const columns = [
        { name: 'ts', type: 'timestamptz', key: true },
        { name: 'close', type: 'float8', nullable: true },
      ]
      const snapshot = (runId: string) => ({
        ...volume(0, { target: { ...TARGET, table: 'schema' }, context: { namespace: 'catalog', runId } }),
        kind: 'schema_snapshot',
        payload: { place: 'parquet', fingerprint: schemaFingerprint(columns), columns },
      })
      expect(await storeAll(snapshot('one'), snapshot('two'))).toEqual(['stored', 'stored'])
      const { records } = await ours().history({ ...series('schema'), kind: 'schema_snapshot' })
      expect(records.map(({ payload }) => payload.columns)).toEqual([columns, columns])
    })

    describe('writing', () => {
      test('the same said twice is a replay of the first, also by a producer with another clock and context', async () => {
        const record = volume(0, { target: { ...TARGET, table: 'replay' } })
        const first = await ours().store(record)
        const context = { ...record.context, jobId: 'after a restart', extras: { host: 2 } }
        const again = { ...record, producedAt: '2025-02-01T00:00:00Z', context }
        expect(await ours().store(again)).toEqual({ ...first, outcome: 'replayed' })
        expect(await ours().bulkStore([record, again])).toEqual(Array(2).fill({ ...first, outcome: 'replayed' }))
      })

      test('something else said of the same fact is a conflict, and what was said first stays', async () => {
        const record = volume(0, { target: { ...TARGET, table: 'conflict' }, payload: counted(1) })
        const first = await ours().store(record)
        const second = await ours().store({ ...record, payload: counted(2) })
        expect(second).toMatchObject({
          outcome: 'refused',
          recordId: first.outcome === 'stored' && first.recordId,
          problem: { code: 'idempotency-conflict', retriable: false },
        })
        expect(await latestCount('conflict')).toBe(1)
      })

      test.each<[string, Partial<NewMetadataRecord>]>([
        ['run', { context: { namespace: 'ingest', runId: 'other' } }],
        ['window', { window: { start: '2024-01-01T00:00:00Z', end: '2024-01-01T12:00:00Z' } }],
        ['scope', { scope: 'a' }],
        ['producer', { producerId: 'other.v1' }],
        ["caller's key", { key: 'k' }],
      ])('another %s is another fact', async (what, fields) => {
        const record = volume(0, { target: { ...TARGET, table: `other ${what}` } })
        expect(await storeAll(record, { ...record, payload: counted(2), ...fields })).toEqual(['stored', 'stored'])
      })

      test("a caller's key is the fact's name, whatever run it was", async () => {
        const record = volume(0, { target: { ...TARGET, table: 'keyed' }, key: 'end of run' })
        const other = { ...record, context: { namespace: 'ingest', runId: 'another' } }
        expect(await storeAll(record, other)).toEqual(['stored', 'replayed'])
      })

      test('repeats and conflicts within one batch: the first that came is stored', async () => {
        const record = volume(0, { target: { ...TARGET, table: 'batch' }, payload: counted(1) })
        const other = { ...record, payload: counted(2) }
        expect(await storeAll(record, other, record, other)).toEqual([
          'stored',
          'idempotency-conflict',
          'replayed',
          'idempotency-conflict',
        ])
        expect(await latestCount('batch')).toBe(1)
      })

      test('a revision is stored after the one before it, never before: then it may be tried again', async () => {
        const record = volume(0, { target: { ...TARGET, table: 'gap' }, payload: counted(1) })
        const second = { ...record, revision: 1, payload: counted(2) }
        expect(await ours().store(second)).toMatchObject({
          outcome: 'refused',
          problem: { code: 'revision-gap', retriable: true },
        })
        expect(await storeAll(second, record)).toEqual(['stored', 'stored'])
        expect(await storeAll({ ...record, revision: 3 }, second, record)).toEqual([
          'revision-gap',
          'replayed',
          'replayed',
        ])
      })

      test('one bad record never takes its batch with it', async () => {
        const good = (day: number) => volume(day, { target: { ...TARGET, table: 'beside bad' } })
        const bad = { ...good(1), payload: { ...COUNTS, records: -1 } }
        expect(await storeAll(good(0), bad, good(2))).toEqual(['stored', 'record-schema-invalid', 'stored'])
      })

      test('any number of records can be given at once, also none', async () => {
        expect(await ours().bulkStore([])).toEqual([])
        const many = Array.from({ length: 1_201 }, (_, day) => volume(-day, { target: { ...TARGET, table: 'many' } }))
        expect(new Set(await storeAll(...many))).toEqual(new Set(['stored']))
        expect(await storeAll(...many.slice(600, 603))).toEqual(['replayed', 'replayed', 'replayed'])
      })
    })

    describe('latest', () => {
      test('of nothing is null', async () => {
        expect(await ours().latest(series('nothing'))).toBeNull()
      })

      test('a record of an older window displaces nothing newer, whenever it comes', async () => {
        const record = (day: number) =>
          volume(day, {
            target: { ...TARGET, table: 'late' },
            payload: counted(day),
            producedAt: '2025-01-01T00:00:00Z',
          })
        await storeAll(record(5))
        await storeAll(record(3))
        expect(await latestCount('late')).toBe(5)
        await storeAll(record(6), record(4))
        expect(await latestCount('late')).toBe(6)
      })

      test('a correction displaces what it corrects, also when it says it was produced before', async () => {
        const first = volume(0, { target: { ...TARGET, table: 'corrected' }, payload: counted(1) })
        const second = { ...first, revision: 1, payload: counted(2), producedAt: '2024-06-01T00:00:00Z' }
        await storeAll(first)
        await storeAll(second)
        expect(await latestCount('corrected')).toBe(2)
      })

      test('without a window the time of production decides', async () => {
        const record = (runId: string, producedAt: string, records: number): NewMetadataRecord => {
          const { window: _, ...rest } = volume(0, { target: { ...TARGET, table: 'no window' } })
          return { ...rest, context: { namespace: 'ingest', runId }, producedAt, payload: counted(records) }
        }
        await storeAll(record('b', '2024-03-02T00:00:00.000002Z', 2), record('a', '2024-03-02T00:00:00.000001Z', 1))
        expect(await latestCount('no window')).toBe(2)
      })

      test('is of one scope; without one, of the whole target', async () => {
        const target = { ...TARGET, table: 'scopes' }
        await storeAll(
          volume(0, { target, payload: counted(1) }),
          volume(9, { target, scope: 'day', payload: counted(9) }),
        )
        expect(await latestCount('scopes')).toBe(1)
        expect((await ours().latest({ ...series('scopes'), scope: 'day' }))?.record.payload.records).toBe(9)
      })

      test('its change number grows with every displacement and stays otherwise', async () => {
        const record = (day: number) => volume(day, { target: { ...TARGET, table: 'changes' } })
        const changes: (number | undefined)[] = []
        for (const day of [1, 2, 0, 2, 3]) {
          await storeAll(record(day))
          changes.push((await ours().latest(series('changes')))?.changeNo)
        }
        expect(changes).toEqual([1, 2, 2, 2, 3])
      })
    })

    describe('reading', () => {
      const days = (page: RecordPage) => page.records.map(({ context }) => Number(context.runId?.slice(4)))
      const walk = async (read: (page: PageRequest) => Promise<RecordPage>, limit: number) => {
        const found: number[] = []
        let after: string | undefined
        for (let pages = 0; pages < 100; pages++) {
          const page = await read({ limit, after })
          found.push(...days(page))
          if (page.next === null) return found
          after = page.next
        }
        throw new Error('expected pages to end')
      }

      test('history is newest first, page by page, without a gap or a repeat', async () => {
        const order = [4, 0, 6, 2, 5, 1, 3]
        await storeAll(...order.map((day) => volume(day, { target: { ...TARGET, table: 'history' } })))
        for (const limit of [1, 2, 3, 7, 500]) {
          expect(await walk((page) => ours().history(series('history'), page), limit)).toEqual([6, 5, 4, 3, 2, 1, 0])
        }
      })

      test('records within one microsecond of each other are told apart by pages', async () => {
        const end = (micros: number) => `2024-01-02T00:00:00.00000${micros}Z`
        const records = [1, 2, 3, 4, 5, 6].map((day) =>
          volume(day, {
            target: { ...TARGET, table: 'micros' },
            window: { start: '2024-01-01T00:00:00Z', end: end(Math.ceil(day / 2)) },
            producedAt: `2024-02-01T00:00:00.00000${day % 2}Z`,
          }),
        )
        await storeAll(...records)
        expect(await walk((page) => ours().history(series('micros'), page), 1)).toEqual([5, 6, 3, 4, 1, 2])
        const filter = { kind: 'ingestion_volume', target: { ...TARGET, table: 'micros' } }
        expect(new Set(await walk((page) => ours().query(filter, page), 1))).toEqual(new Set([1, 2, 3, 4, 5, 6]))
      })

      test('history keeps every revision', async () => {
        const first = volume(0, { target: { ...TARGET, table: 'revisions' } })
        await storeAll(first, { ...first, revision: 1, payload: counted(2) })
        const { records } = await ours().history(series('revisions'))
        expect(records.map(({ revision }) => revision)).toEqual([1, 0])
      })

      test.each<[string, RecordFilter, readonly number[]]>([
        ['a target', {}, [5, 4, 3, 2, 1, 0]],
        ['a run', { runId: 'run-3' }, [3]],
        ['a job', { jobId: 'job-1' }, [5, 3, 1]],
        ['a producer', { producerId: 'b.v1' }, [5, 4]],
        ['a scope', { scope: 's' }, [2]],
        ['a kind', { kind: 'schema_snapshot' }, []],
        ['an outcome', { outcome: 'fail' }, []],
        ['time, half-open', { from: '2024-01-03T00:00:00Z', to: '2024-01-05T01:00:00+01:00' }, [2, 1]],
        ['windows', { windowFrom: '2024-01-02T00:00:00Z', windowTo: '2024-01-04T00:00:00Z' }, [2, 1]],
        ['extras', { kind: 'ingestion_volume', extras: { lane: 'live' } }, [4, 2, 0]],
        ['several', { jobId: 'job-1', producerId: 'b.v1', from: '2024-01-01T00:00:00Z' }, [5]],
      ])('query finds by %s', async (_what, filter, expected) => {
        const target = { ...TARGET, table: 'query' }
        const record = (day: number) =>
          volume(day, {
            target,
            context: { namespace: 'ingest', runId: `run-${day}`, jobId: `job-${day % 2}` },
            producerId: day < 4 ? 'a.v1' : 'b.v1',
            extras: { lane: day % 2 === 0 ? 'live' : 'backfill' },
            ...(day === 2 ? { scope: 's' } : {}),
          })
        await storeAll(...[3, 1, 5, 0, 2, 4].map(record))
        expect(await walk((page) => ours().query({ target, ...filter }, page), 2)).toEqual(expected)
      })

      test('query finds failures of a kind across targets', async () => {
        const runtime = (table: string, outcome: string): NewMetadataRecord => ({
          ...volume(0, {
            target: { ...TARGET, table },
            context: { namespace: 'ingest', runId: `run-${table.length}` },
          }),
          kind: 'ingestion_runtime',
          outcome,
          payload: {
            state: outcome === 'pass' ? 'published' : 'failed',
            finishedAt: '2024-01-01T00:00:00Z',
            claims: 1,
            retries: 0,
          },
        })
        await storeAll(runtime('a', 'fail'), runtime('aa', 'pass'), runtime('aaa', 'fail'))
        const page = await ours().query({ kind: 'ingestion_runtime', outcome: 'fail' })
        expect(new Set(days(page))).toEqual(new Set([1, 3]))
      })

      test.each<[string, RecordFilter, PageRequest, string]>([
        ['no cursor', {}, { after: 'nonsense' }, 'malformed-cursor'],
        ['a cursor of nothing', {}, { after: Buffer.from('{"v":1}').toString('base64url') }, 'malformed-cursor'],
        ['no page', {}, { limit: 0 }, 'invalid-query'],
        ['too large a page', {}, { limit: 501 }, 'invalid-query'],
        ['no instant', { from: 'yesterday' }, {}, 'invalid-query'],
        ['extras without a kind', { extras: { lane: 'live' } }, {}, 'invalid-query'],
        ['extras that the kind does not declare', { kind: 'schedule', extras: { lane: 'x' } }, {}, 'invalid-query'],
        ['NUL', { runId: 'a\u0000' }, {}, 'invalid-query'],
      ])('query refuses %s', async (_what, filter, page, code) => {
        await expect(ours().query(filter, page)).rejects.toMatchObject({ name: 'QueryError', code })
      })

      test('a cursor is only for the request that it came from', async () => {
        await storeAll(...[0, 1, 2].map((day) => volume(day, { target: { ...TARGET, table: 'cursor' } })))
        const { next } = await ours().history(series('cursor'), { limit: 1 })
        const after = next ?? ''
        const mismatch = { name: 'QueryError', code: 'cursor-mismatch' }
        await expect(ours().history(series('other'), { after })).rejects.toMatchObject(mismatch)
        await expect(ours().query({ kind: 'ingestion_volume' }, { after })).rejects.toMatchObject(mismatch)
      })
    })

    test('a tenant sees nothing of another, and its facts have the same names', async () => {
      const target = { ...TARGET, table: 'tenants' }
      const record = volume(0, { target, payload: counted(1), extras: { lane: 'live' } })
      await ours().store(record)
      expect(await opened.theirs.latest(series('tenants'))).toBeNull()
      expect(await opened.theirs.history(series('tenants'))).toEqual({ records: [], next: null })
      for (const filter of [
        {},
        { target },
        { runId: 'run-0' },
        { kind: 'ingestion_volume', extras: { lane: 'live' } },
      ]) {
        expect(await opened.theirs.query(filter)).toEqual({ records: [], next: null })
      }
      expect(await opened.theirs.store({ ...record, payload: counted(2) })).toMatchObject({ outcome: 'stored' })
      expect(await latestCount('tenants')).toBe(1)
      const foreign = { ...record, context: { ...record.context, environment: { tenant: 'theirs' } } }
      expect(await storeAll(foreign)).toEqual(['wrong-tenant'])
    })
  })
}
