import { describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { COUNTS, counted, TARGET, volume } from '../metadata/fact.ts'
import type { RepositoryHands } from './repository-hands.ts'

/** Identity, replays, conflicts, revisions, batches. */
export function describeWriting({ ours, latestCount, storeAll }: RepositoryHands): void {
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
}
