import { beforeEach, describe, expect, test } from 'vitest'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { AggregateCell } from '../../shared/metadata/model/repository.ts'
import { forgetOldRollups, rollupConsumer } from '../../shared/metadata/rollup/consumer.ts'
import { createPause } from '../support/pause.ts'
import { counted, TARGET, volume } from './fact.ts'
import { useRetention } from './retention-bench.ts'

const DAY_MS = 86_400_000

/** Days of this year and the last, so that they are kept: day 0 is the first of a month about half a year ago. */
const ORIGIN = Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - 6, 1)
const instant = (day: number) => new Date(ORIGIN + day * DAY_MS).toISOString()
const date = (day: number) => instant(day).slice(0, 10)
const fact = (day: number, records: number, fields: Partial<NewMetadataRecord> = {}) =>
  volume(day, {
    window: { start: instant(day), end: instant(day + 1) },
    payload: counted(records),
    producedAt: instant(day + 1),
    ...fields,
  })

describe('rollups', () => {
  const bench = useRetention()
  beforeEach(() => bench.clear())

  const cells = async (fields: Partial<Parameters<typeof bench.ours.aggregate>[0]> = {}) => {
    const query = { kind: 'ingestion_volume', grain: 'day' as const, from: '2000-01-01', to: '2100-01-01', ...fields }
    return (await bench.ours.aggregate(query, { limit: 500 })).cells
  }
  const inserted = async (grain: 'day' | 'month' = 'day') =>
    (await cells({ grain, metric: 'inserted' })).map(({ bucket, count, total }) => `${bucket} ${count} ${total}`)

  test('count facts and add up the numbers of their kind, by day and month of the start of their windows', async () => {
    await bench.store(0, [fact(0, 5), fact(1, 7), fact(1, 2, { context: { namespace: 'n', runId: 'other' } })])
    await bench.rollUp()
    const cell = (metric: string, n: Partial<AggregateCell>) => ({
      target: TARGET,
      kind: 'ingestion_volume',
      scope: '',
      metric,
      grain: 'day',
      bucket: date(1),
      count: 2,
      outcomes: {},
      ...n,
    })
    expect(await cells({ from: date(1), to: date(2) })).toEqual([
      cell('', { total: null, min: null, max: null }),
      cell('inserted', { total: 9, min: 2, max: 7 }),
      cell('records', { total: 9, min: 2, max: 7 }),
      cell('rejected', { total: 0, min: 0, max: 0 }),
      cell('updated', { total: 0, min: 0, max: 0 }),
    ])
    expect(await inserted('month')).toEqual([`${date(0)} 3 14`])
  })

  test('a window longer than its bucket is left out of it', async () => {
    await bench.store(0, [
      fact(0, 1, { window: { start: instant(0), end: instant(2) } }),
      fact(5, 10, { window: { start: instant(5), end: instant(37) } }),
    ])
    await bench.rollUp()
    expect(await inserted()).toEqual([])
    expect(await inserted('month')).toEqual([`${date(0)} 1 1`])
  })

  test('a window that is not longer than its bucket is in that of its start, wherever it ends', async () => {
    await bench.store(0, [
      fact(0, 1, { window: { start: instant(0.9), end: instant(1.9) } }),
      fact(20, 10, { window: { start: instant(20), end: instant(45) } }),
    ])
    await bench.rollUp()
    expect(await inserted()).toEqual([`${date(0)} 1 1`])
    expect(await inserted('month')).toEqual([`${date(0)} 2 11`])
  })

  test('a fact without a window is in the bucket of its effective time, and facts are counted by outcome', async () => {
    const decision = (run: string, outcome: string): NewMetadataRecord => ({
      target: TARGET,
      context: { namespace: 'guard', runId: run },
      kind: 'guard_decision',
      kindVersion: '1.0',
      payload: { guard: 'ingestion', reasons: [] },
      outcome,
      producedAt: instant(3.5),
      producerId: 'test.v1',
    })
    await bench.store(0, [decision('a', 'pass'), decision('b', 'block'), decision('c', 'pass')])
    await bench.rollUp()
    expect(await cells({ kind: 'guard_decision' })).toMatchObject([
      { metric: '', bucket: date(3), count: 3, total: null, outcomes: { pass: 2, block: 1 } },
    ])
  })

  test('a correction takes the place of what it corrects', async () => {
    const first = fact(0, 5)
    await bench.store(0, [first])
    await bench.rollUp()
    await bench.store(0, [{ ...first, revision: 1, payload: counted(8) }])
    await bench.rollUp()
    expect(await inserted()).toEqual([`${date(0)} 1 8`])
  })

  test.each([
    ['named by a key, another day', { key: 'k' }, { window: { start: instant(3), end: instant(4) } }],
    ['named by a key, another target', { key: 'k' }, { target: { ...TARGET, table: 'other' } }],
    ['named by its run, another time', { window: undefined }, { producedAt: instant(3.5) }],
  ] as const)('a fact %s: it leaves the cell that it was in', async (_what, fields, change) => {
    const first = { ...fact(0, 5), ...fields } as NewMetadataRecord
    await bench.store(0, [first])
    await bench.rollUp()
    const before = await cells({ metric: 'inserted' })
    expect(before).toHaveLength(1)
    await bench.store(0, [{ ...first, revision: 1, payload: counted(8), ...change }])
    await bench.rollUp((await bench.feed()).slice(-1))
    const after = await cells({ metric: 'inserted' })
    expect(after).toMatchObject([{ count: 1, total: 8 }])
    expect(after).not.toMatchObject(before.map(({ target, bucket }) => ({ target, bucket })))
  })

  test('are the same however often and in whatever order records are seen', async () => {
    const first = fact(0, 5)
    await bench.store(0, [first, fact(1, 1), { ...first, revision: 1, payload: counted(6) }, fact(2, 2)])
    await bench.rollUp()
    const once = [await inserted(), await inserted('month')]
    for (const fed of [...(await bench.feed())].reverse()) await bench.rollUp([fed])
    expect([await inserted(), await inserted('month')]).toEqual(once)
  })

  test('are computed from compacted files too, and a correction of what lies there moves it', async () => {
    const moving = fact(3, 4, { key: 'k' })
    await bench.store(100, [fact(0, 5), moving, fact(9, 1)])
    await bench.compact()
    expect(await bench.query('select from metadata.record')).toHaveLength(1)
    const late = fact(0, 2, { context: { namespace: 'n', runId: 'late' } })
    await bench.store(0, [late, { ...moving, revision: 1, window: { start: instant(4), end: instant(5) } }])
    await bench.rollUp((await bench.feed()).slice(-2))
    expect(await inserted()).toEqual([`${date(0)} 2 7`, `${date(4)} 1 4`])
    expect(await inserted('month')).toEqual([`${date(0)} 4 12`])
  })

  const lockWaitedFor = async () => {
    const waiting = `select from pg_locks where locktype = 'advisory' and not granted`
    while ((await bench.query(waiting)).length === 0);
  }

  test('a worker that lost its lease puts no older count over a newer one', async () => {
    await bench.store(0, [fact(0, 5)])
    const records = await bench.feed()
    // It has read, and is about to write.
    const pause = createPause(({ subject }) => subject === 'write_metadata_rollups')
    const slow = bench.open(pause.hook)
    pause.arm()
    const context = { db: slow.db, readAt: BigInt(Date.now()) * 1_000n, signal: new AbortController().signal }
    const zombie = rollupConsumer({ files: slow.files, kinds: fixedKinds(KINDS) }).consume(records, context)
    await pause.reached
    await bench.store(0, [fact(0, 7, { context: { namespace: 'n', runId: 'second' } })])
    const successor = bench.rollUp()
    await Promise.race([successor, lockWaitedFor()])
    pause.resume()
    await Promise.all([zombie, successor])
    await slow.close()
    expect(await inserted()).toEqual([`${date(0)} 2 12`])
  })

  test('go back 25 months: older ones are neither made nor kept', async () => {
    await bench.store(0, [fact(0, 1), fact(-800, 1)])
    await bench.rollUp()
    expect(await inserted()).toEqual([`${date(0)} 1 1`])
    await bench.query(`update metadata.rollup set bucket = bucket - 800 where metric = 'inserted'`)
    expect(await forgetOldRollups(bench.db, BigInt(Date.now()) * 1_000n)).toBe(2)
    expect(await inserted()).toEqual([])
  })
})
