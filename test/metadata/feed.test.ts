import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { FeedAheadError, FeedGoneError, readFeedCursor, writeFeedCursor } from '../../shared/metadata/feed/feed.ts'
import { QueryError } from '../../shared/metadata/model/repository.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { OURS } from './dispatch-bench.ts'
import { TARGET, volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const days = (count: number, from = 0) => Array.from({ length: count }, (_, index) => volume(from + index))
const runs = (count: number, from = 0) => days(count, from).map(({ context }) => context.runId)

describe('the feed', () => {
  const feed = useFeed()
  beforeEach(() => feed.clear())

  test('gives what was stored as every repository does, and whose it is', async () => {
    const links = { inputs: [TARGET], parent: 'tick' }
    await feed.store([volume(1, { scope: 'a/b', quality: 'backfilled', links, extras: { lane: 'live' } })])
    const store = { db: feed.db(), names: createNameBook(), kinds: feed.bench.source.kinds }
    const { records } = await openPostgresRepository({ store, environment: OURS }).query({})
    const page = await feed.read()
    expect(page.records.map(({ tenant, record }) => ({ tenant, record }))).toEqual([
      { tenant: 'ours', record: records[0] },
    ])
  })

  test('is read in pages of any size, in the order of storing, each record once', async () => {
    await feed.store(days(3))
    await feed.store(days(4, 3))
    for (const pageMax of [1, 2, 7, 100]) expect(await feed.readAll(null, pageMax)).toEqual(runs(7))
  })

  test('says where to go on also where a page is empty, and goes on there', async () => {
    const empty = await feed.read()
    expect(empty).toMatchObject({ records: [], end: true })
    await feed.store(days(2))
    const page = await feed.read({ after: empty.position })
    expect(page.records).toHaveLength(2)
    expect(await feed.readAll(page.position)).toEqual([])
    expect(await feed.readAll(page.records[0]?.position)).toEqual(runs(1, 1))
  })

  /** A dispatcher that waits before it commits, so that what it stored has the older transaction. */
  async function storeHeld(day: number) {
    const reached = gate()
    const released = gate()
    const source = feed.bench.open(async (operation, run) => {
      if (operation.subject === 'commit') {
        reached.open()
        await released.opened
      }
      return run()
    })
    await feed.bench.write([volume(day)])
    const done = dispatchAll(dispatchHere(source, createNameBook()), { batchesMax: 1 }).finally(() => source.close())
    await reached.opened
    return {
      async commit() {
        released.open()
        await done
        await feed.settle()
      },
    }
  }

  test('gives nothing that was stored after a transaction began that is still open, and then skips nothing', async () => {
    await feed.store(days(1))
    const first = await feed.read()
    const held = await storeHeld(1)
    // Of another series: it would wait for the row of the latest one.
    const target = { ...TARGET, table: 'other' }
    await feed.bench.write(days(2, 2).map((record) => ({ ...record, target })))
    await feed.bench.dispatch()
    const [{ stored } = { stored: 0 }] = await feed.query<{ stored: number }>(
      'select count(*) as stored from metadata.record',
    )
    expect(stored).toBe(3)
    const meanwhile = await feed.read({ after: first.position })
    expect(meanwhile.records).toEqual([])
    await held.commit()
    expect(await feed.readAll(meanwhile.position)).toEqual(runs(3, 1))
  })

  test('beside writers that commit in any order gives each record once', async () => {
    const writers = [0, 1, 2].map((writer) => {
      let pauses = 0
      return feed.bench.open(async (operation, run) => {
        // Three lengths that never come in step.
        if (operation.subject === 'commit') await sleep((pauses++ * (writer + 3)) % 11)
        return run()
      })
    })
    const all = days(300)
    await feed.bench.write(all)
    let writing = true
    const written = Promise.all(
      writers.map((source) => dispatchAll(dispatchHere(source, createNameBook()), { batchMax: 5 })),
    ).finally(() => {
      writing = false
    })
    const seen: string[] = []
    let position = null
    for (let last = false; !last; ) {
      last = !writing
      if (last) await feed.settle()
      const page = await feed.read({ after: position, limit: 7 })
      seen.push(...page.records.map(({ record }) => record.context.runId ?? ''))
      position = page.position
      if (!page.end) last = false
    }
    await written
    for (const source of writers) await source.close()
    expect(seen.length).toBe(300)
    expect(seen.toSorted()).toEqual(all.map(({ context }) => context.runId ?? '').sort())
  })

  describe('of one tenant or kind', () => {
    test('gives only what matches', async () => {
      await feed.store([volume(0), { ...volume(1), ...SCHEDULE }])
      await feed.store([volume(2)], 'theirs')
      const read = async (filter: Parameters<typeof feed.read>[0]) =>
        (await feed.read(filter)).records.map(({ record }) => record.context.runId)
      expect(await read({ tenant: 'theirs' })).toEqual(['run-2'])
      expect(await read({ tenant: 'ours' })).toEqual(['run-0', 'run-1'])
      expect(await read({ tenant: 'ours', kind: 'schedule' })).toEqual(['run-1'])
      expect(await read({ tenant: 'nobody' })).toEqual([])
    })

    test('looks at so many records for one page, and goes on behind them', async () => {
      await feed.store([volume(0)])
      await feed.store([volume(1)], 'theirs')
      await feed.query(COPY, [5_000, 'run-0'])
      await feed.store([volume(2)], 'theirs')
      const first = await feed.read({ tenant: 'theirs' })
      expect([first.records.length, first.end]).toEqual([1, false])
      const second = await feed.read({ tenant: 'theirs', after: first.position })
      expect(second.records.map(({ record }) => record.context.runId)).toEqual(['run-2'])
      expect(second.end).toBe(true)
    })
  })

  describe('a cursor', () => {
    const filter = { tenant: 'ours', kind: 'schedule' }

    test('comes back as the position that it was made of', async () => {
      const { position } = await feed.read()
      expect(readFeedCursor(writeFeedCursor(position, filter), filter)).toEqual(position)
    })

    test('of another tenant or kind is another', async () => {
      const cursor = writeFeedCursor((await feed.read()).position, filter)
      for (const other of [{ tenant: 'theirs', kind: 'schedule' }, { tenant: 'ours' }]) {
        expect(() => readFeedCursor(cursor, other)).toThrow(expect.objectContaining({ code: 'cursor-mismatch' }))
      }
    })

    test.each<[string, Partial<Record<'generation' | 'xid' | 'seq' | 'asOf', string>>]>([
      ['a generation that is no uuid', { generation: 'x' }],
      ['a transaction that is no number', { xid: '-1' }],
      ['a transaction beyond 64 bits', { xid: '18446744073709551616' }],
      ['a number beyond 63 bits', { seq: '9223372036854775808' }],
      ['a time that is none', { asOf: 'yesterday' }],
    ])('with %s is refused', async (_what, wrong) => {
      const { position } = await feed.read()
      const cursor = writeFeedCursor({ ...position, ...wrong }, filter)
      expect(() => readFeedCursor(cursor, filter)).toThrow(expect.objectContaining({ code: 'malformed-cursor' }))
    })

    test('of a database that was restored since is ahead of it', async () => {
      const { position } = await feed.read()
      const ahead = { ...position, xid: String(BigInt(position.xid) + 1_000_000n) }
      await expect(feed.read({ after: ahead })).rejects.toBeInstanceOf(FeedAheadError)
      // At the horizon itself nothing was numbered yet. Other databases of the server move it on at any moment.
      await vi.waitFor(async () => {
        const { position } = await feed.read()
        await expect(feed.read({ after: { ...position, seq: '1' } })).rejects.toBeInstanceOf(FeedAheadError)
      })
    })

    test('of a page of old latest records, which stay below what is hot, leads on', async () => {
      await feed.store(days(4))
      await feed.query(
        `with old as (update metadata.record set stored_at = stored_at - interval '400 days')
         insert into metadata.compaction (kind, below) values ('ingestion_volume', (now() at time zone 'UTC')::date - 90)
         on conflict (kind) do update set below = excluded.below`,
      )
      const first = await feed.read({ limit: 2 })
      const second = await feed.read({ after: first.position, limit: 2 })
      expect([...first.records, ...second.records]).toHaveLength(4)
      expect((await feed.read({ after: second.position })).records).toEqual([])
    })

    test('that is older than what is hot names the hour of the log to go on from; a newer one does not care', async () => {
      await feed.store(days(1))
      const { position } = await feed.read({ limit: 1 })
      const boundary = (kind: string, interval: string) =>
        feed.query(
          `insert into metadata.compaction (kind, below) values ($1, (now() at time zone 'UTC')::date + $2::int)
           on conflict (kind) do update set below = excluded.below`,
          [kind, interval],
        )
      await boundary('schedule', '-2')
      expect((await feed.read({ after: position })).records).toEqual([])
      await boundary('ingestion_volume', '2')
      const gone = await feed.read({ after: { ...position, asOf: '2024-03-05T07:08:09Z' } }).catch((error) => error)
      expect(gone).toBeInstanceOf(FeedGoneError)
      expect(gone.logHour).toBe('log/2024/03/04/07.jsonl')
      await expect(feed.read({ after: position, kind: 'ingestion_volume' })).rejects.toBeInstanceOf(FeedGoneError)
      expect((await feed.read({ after: position, kind: 'schedule' })).records).toEqual([])
      // What a consumer has not read is never compacted.
      const { asOf: _, ...kept } = position
      expect((await feed.read({ after: kept })).records).toEqual([])
    })
  })

  test.each([0, -1, 1.5, 5_001, Number.NaN])('refuses a limit of %s', async (limit) => {
    await expect(feed.read({ limit })).rejects.toBeInstanceOf(QueryError)
  })
})

const SCHEDULE = { kind: 'schedule', payload: { frequency: '15m' } }

/** So many records like those of a run. */
const COPY = `
insert into metadata.record (record_id, tenant_no, target_no, kind, scope, effective_at, ordered_at, kind_version,
       producer_id, run_id, window_start, window_end, quality, produced_at, body)
select gen_random_uuid(), tenant_no, target_no, kind, scope, effective_at, ordered_at, kind_version,
       producer_id, run_id, window_start, window_end, quality, produced_at, body
  from metadata.record, generate_series(1, $1::int)
 where run_id = $2`

function gate() {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open: () => open(), opened }
}
