import { describe, expect, test } from 'vitest'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { PageRequest, RecordFilter, RecordPage } from '../../shared/metadata/model/repository.ts'
import { counted, TARGET, volume } from '../metadata/fact.ts'
import type { RepositoryHands } from './repository-hands.ts'

/** History and queries, page by page. */
export function describeReading({ ours, series, storeAll }: RepositoryHands): void {
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
}
