import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { COUNTS, counted, TARGET, volume } from '../metadata/fact.ts'
import { type TestEnvironment, useTestEnvironment } from '../support/environment.ts'
import { describeAggregate } from './repository-aggregate.ts'
import { handsOn, type OpenedRepositories } from './repository-hands.ts'
import { describeLatest } from './repository-latest.ts'
import { describeReading } from './repository-reading.ts'
import { describeWriting } from './repository-writing.ts'

export type RepositoryUnderTest = {
  readonly name: string
  /** Two tenants of one store, which is empty. */
  readonly open: (environment: TestEnvironment) => Promise<OpenedRepositories>
}

/** What every repository does alike. Each test has a target of its own. */
export function describeRepository({ name, open }: RepositoryUnderTest): void {
  describe(`metadata repository ${name}`, () => {
    const environment = useTestEnvironment()
    let opened: OpenedRepositories
    beforeAll(async () => {
      opened = await open(environment)
    })
    afterAll(() => opened.close())
    const hands = handsOn(() => opened)
    const { ours, series, latestCount, storeAll } = hands

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

    describeWriting(hands)
    describeLatest(hands)
    describeReading(hands)
    describeAggregate(hands)

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
