import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type {
  AggregateCell,
  AggregateQuery,
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
    /** Done before `aggregate` is asked: what computes its cells has caught up. */
    readonly rolledUp?: () => Promise<void>
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

      test('of many comes in their order, with null where there is none', async () => {
        await storeAll(volume(0, { target: { ...TARGET, table: 'many a' }, payload: counted(1) }))
        await storeAll(volume(0, { target: { ...TARGET, table: 'many b' }, payload: counted(2) }))
        const found = await ours().latestOfMany(['many b', 'many c', 'many a', 'many b'].map(series))
        expect(found.map((latest) => latest?.record.payload.records ?? null)).toEqual([2, null, 1, 2])
        expect(found[2]).toEqual(await ours().latest(series('many a')))
        expect(await ours().latestOfMany([])).toEqual([])
        await expect(ours().latestOfMany(Array(501).fill(series('many a')))).rejects.toMatchObject({
          name: 'QueryError',
          code: 'invalid-query',
        })
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

    describe('aggregate', () => {
      // Rollups go back 25 months.
      const YEAR = new Date().getUTCFullYear() - 1
      const monthly = {
        kind: 'ingestion_volume',
        grain: 'month' as const,
        from: `${YEAR}-01-01`,
        to: `${YEAR + 1}-01-01`,
      }
      const daily = { ...monthly, grain: 'day' as const }
      const fact = (table: string, day: number, records: number, fields: Partial<NewMetadataRecord> = {}) => {
        const at = (day: number) => new Date(Date.UTC(YEAR, 0, 1 + day)).toISOString()
        const window = { start: at(day), end: at(day + 1) }
        return volume(day, { target: { ...TARGET, table }, window, payload: counted(records), ...fields })
      }
      const walk = async (query: AggregateQuery, limit: number) => {
        await opened.rolledUp?.()
        const cells: AggregateCell[] = []
        for (let after: string | undefined; ; ) {
          const page = await ours().aggregate(query, { limit, after })
          cells.push(...page.cells)
          if (page.next === null) return cells
          after = page.next
        }
      }
      const target = (table: string) => ({ target: { ...TARGET, table } })

      test('counts facts and adds up their numbers, by day or month of the start of their windows', async () => {
        await storeAll(fact('sums', 0, 5), fact('sums', 1, 7), fact('sums', 31, 1, { scope: 's' }))
        await storeAll(fact('sums', 1, 2, { context: { namespace: 'n', runId: 'second' } }))
        const metric = { ...target('sums'), metric: 'inserted' }
        const cell = { kind: 'ingestion_volume', scope: '', metric: 'inserted', outcomes: {}, ...target('sums') }
        expect(await walk({ ...daily, ...metric }, 500)).toEqual([
          { ...cell, grain: 'day', bucket: `${YEAR}-01-01`, count: 1, total: 5, min: 5, max: 5 },
          { ...cell, grain: 'day', bucket: `${YEAR}-01-02`, count: 2, total: 9, min: 2, max: 7 },
          { ...cell, scope: 's', grain: 'day', bucket: `${YEAR}-02-01`, count: 1, total: 1, min: 1, max: 1 },
        ])
        expect(await walk({ ...monthly, ...metric, to: `${YEAR}-02-01` }, 500)).toEqual([
          { ...cell, grain: 'month', bucket: `${YEAR}-01-01`, count: 3, total: 14, min: 2, max: 7 },
        ])
        expect(await walk({ ...monthly, ...metric, scope: 's' }, 500)).toMatchObject([{ bucket: `${YEAR}-02-01` }])
        const all = await walk({ ...monthly, ...target('sums'), scope: '' }, 500)
        expect(all.map(({ metric, count, total }) => `${metric} ${count} ${total}`)).toEqual([
          ' 3 null',
          'inserted 3 14',
          'records 3 14',
          'rejected 3 0',
          'updated 3 0',
        ])
      })

      test('counts outcomes, of facts without a window at the time of their production', async () => {
        const decision = (runId: string, outcome: string): NewMetadataRecord => ({
          ...target('outcomes'),
          context: { namespace: 'guard', runId },
          kind: 'guard_decision',
          kindVersion: '1.0',
          payload: { guard: 'ingestion', reasons: [] },
          outcome,
          producedAt: `${YEAR}-03-31T23:59:59.999999Z`,
          producerId: 'test.v1',
        })
        await storeAll(decision('a', 'pass'), decision('b', 'block'), decision('c', 'pass'))
        expect(await walk({ ...daily, ...target('outcomes'), kind: 'guard_decision' }, 500)).toEqual([
          {
            ...target('outcomes'),
            kind: 'guard_decision',
            scope: '',
            metric: '',
            grain: 'day',
            bucket: `${YEAR}-03-31`,
            count: 3,
            total: null,
            min: null,
            max: null,
            outcomes: { pass: 2, block: 1 },
          },
        ])
      })

      test('takes the highest revision of each fact, wherever it says the fact is', async () => {
        const moved = fact('revised', 40, 3, { key: 'moved' })
        await storeAll(fact('revised', 0, 5), moved)
        await opened.rolledUp?.()
        await storeAll(fact('revised', 0, 6, { revision: 1 }), {
          ...moved,
          revision: 1,
          window: { start: `${YEAR}-05-01T00:00:00Z`, end: `${YEAR}-05-02T00:00:00Z` },
        })
        const cells = await walk({ ...daily, ...target('revised'), metric: 'inserted' }, 500)
        expect(cells.map(({ bucket, count, total }) => `${bucket} ${count} ${total}`)).toEqual([
          `${YEAR}-01-01 1 6`,
          `${YEAR}-05-01 1 3`,
        ])
      })

      test('leaves a window that is longer than its bucket out of it', async () => {
        const window = (start: string, end: string) => ({
          window: { start: `${YEAR}-${start}Z`, end: `${YEAR}-${end}Z` },
        })
        await storeAll(
          fact('long', 0, 1, window('02-10T12:00:00', '02-11T12:00:00')),
          fact('long', 1, 2, window('02-10T12:00:00', '02-11T12:00:01')),
          fact('long', 2, 4, window('02-10T00:00:00', '03-10T00:00:00')),
          fact('long', 3, 8, window('02-10T00:00:00', '03-10T00:00:01')),
        )
        const metric = { ...target('long'), metric: 'records' }
        expect(await walk({ ...daily, ...metric }, 500)).toMatchObject([{ bucket: `${YEAR}-02-10`, total: 1 }])
        expect(await walk({ ...monthly, ...metric }, 500)).toMatchObject([{ bucket: `${YEAR}-02-01`, total: 7 }])
      })

      test('is in the order of bucket, target, scope and metric, page by page, without a gap or a repeat', async () => {
        const at = (table: string, day: number, scope: string) =>
          fact('', day, 1, { target: { ...TARGET, schema: 'ordered', table }, scope })
        await storeAll(
          ...['b', 'a', 'é', 'B'].flatMap((table) => [at(table, 160, 'x'), at(table, 160, ''), at(table, 150, '')]),
        )
        const query = { ...daily, from: `${YEAR}-05-25`, to: `${YEAR}-06-20` }
        const ordered = (cells: readonly AggregateCell[]) =>
          cells
            .filter(({ target }) => target.schema === 'ordered')
            .map(({ bucket, target, scope, metric }) => [bucket, target.table, scope, metric].join(' '))
        const whole = ordered(await walk(query, 500))
        expect(whole).toHaveLength(12 * 5)
        expect(whole).toEqual([...whole].sort())
        expect(ordered(await walk(query, 7))).toEqual(whole)
      })

      test('shows a tenant nothing of another', async () => {
        await storeAll(fact('theirs', 0, 5))
        await opened.rolledUp?.()
        expect(await opened.theirs.aggregate({ ...daily, ...target('theirs') })).toEqual({ cells: [], next: null })
      })

      test.each<[string, unknown, PageRequest, string]>([
        ['another grain', { ...daily, grain: 'year' }, {}, 'invalid-query'],
        ['no date', { ...daily, from: `${YEAR}-02-30` }, {}, 'invalid-query'],
        ['an instant', { ...daily, to: `${YEAR}-02-01T00:00:00Z` }, {}, 'invalid-query'],
        ['no kind', { ...daily, kind: undefined }, {}, 'invalid-query'],
        ['NUL', { ...daily, metric: 'a\u0000' }, {}, 'invalid-query'],
        ['too large a page', daily, { limit: 501 }, 'invalid-query'],
        ['no cursor', daily, { after: 'nonsense' }, 'malformed-cursor'],
      ])('refuses %s', async (_what, query, page, code) => {
        const asked = ours().aggregate(query as AggregateQuery, page)
        await expect(asked).rejects.toMatchObject({ name: 'QueryError', code })
      })

      test('takes a cursor for the query that it came from only', async () => {
        await storeAll(fact('cursor of cells', 0, 5))
        await opened.rolledUp?.()
        const query = { ...daily, ...target('cursor of cells') }
        const { next } = await ours().aggregate(query, { limit: 1 })
        const mismatch = { name: 'QueryError', code: 'cursor-mismatch' }
        await expect(ours().aggregate({ ...query, grain: 'month' }, { after: next ?? '' })).rejects.toMatchObject(
          mismatch,
        )
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
