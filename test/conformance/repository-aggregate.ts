import { describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { AggregateCell, AggregateQuery, PageRequest } from '../../shared/metadata/model/repository.ts'
import { counted, TARGET, volume } from '../metadata/fact.ts'
import type { RepositoryHands } from './repository-hands.ts'

/** Counts and numbers by day and month. */
export function describeAggregate({ opened, ours, storeAll }: RepositoryHands): void {
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
      await opened().rolledUp?.()
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
      await opened().rolledUp?.()
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
      await opened().rolledUp?.()
      expect(await opened().theirs.aggregate({ ...daily, ...target('theirs') })).toEqual({ cells: [], next: null })
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
      await opened().rolledUp?.()
      const query = { ...daily, ...target('cursor of cells') }
      const { next } = await ours().aggregate(query, { limit: 1 })
      const mismatch = { name: 'QueryError', code: 'cursor-mismatch' }
      await expect(ours().aggregate({ ...query, grain: 'month' }, { after: next ?? '' })).rejects.toMatchObject(
        mismatch,
      )
    })
  })
}
