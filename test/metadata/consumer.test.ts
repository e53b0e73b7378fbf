import { beforeEach, describe, expect, test } from 'vitest'
import { type FeedConsumer, runConsumers } from '../../shared/metadata/feed/consumer.ts'
import { volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const days = (count: number, from = 0) => Array.from({ length: count }, (_, index) => volume(from + index))
const runs = (count: number, from = 0) => days(count, from).map(({ context }) => context.runId)

describe('a consumer of the feed', () => {
  const feed = useFeed()
  beforeEach(() => feed.clear())

  /** Remembers what it was given; `work` runs before it does. */
  function collector(name = 'collector', work: FeedConsumer['consume'] = async () => undefined) {
    const seen: string[] = []
    const consumer: FeedConsumer = {
      name,
      async consume(records, context) {
        await work(records, context)
        seen.push(...records.map(({ record }) => record.context.runId ?? ''))
      },
    }
    return { consumer, seen }
  }

  test('begins at the first record that is hot, and goes on where it was', async () => {
    const { consumer, seen } = collector()
    await feed.store(days(5))
    expect(await feed.run(consumer, { batchMax: 2 })).toBe('done')
    expect(await feed.run(consumer)).toBe('done')
    await feed.store(days(2, 5))
    expect(await feed.run(consumer, { batchMax: 2 })).toBe('done')
    expect(seen).toEqual(runs(7))
  })

  test('has as many pages as it is given, and the rest in another run', async () => {
    const { consumer, seen } = collector()
    await feed.store(days(5))
    expect(await feed.run(consumer, { batchMax: 2, pagesMax: 2 })).toBe('more')
    expect(seen).toEqual(runs(4))
    expect(await feed.run(consumer, { batchMax: 2, pagesMax: 2 })).toBe('done')
    expect(seen).toEqual(runs(5))
  })

  test('that throws stops alone, is logged, and gets the same again', async () => {
    let broken = true
    const failing = collector('failing', async ([first]) => {
      if (broken && first?.record.context.runId === 'run-2') throw new Error('no disk')
    })
    const other = collector('other')
    await feed.store(days(4))
    const both = () =>
      runConsumers(feed.db(), [failing.consumer, other.consumer], { log: feed.bench.source.log, batchMax: 2 })
    expect(await both()).toMatchObject([
      { consumer: 'failing', state: 'failed', pages: 1, records: 2, error: new Error('no disk') },
      { consumer: 'other', state: 'done', pages: 2, records: 4 },
    ])
    expect(feed.bench.logged).toMatchObject([
      { level: 'error', event: 'metadata_consumer_failed', consumer: 'failing', pages: 1, records: 2 },
    ])
    broken = false
    // Its lease is not waited for.
    await both()
    expect([failing.seen, other.seen]).toEqual([runs(4), runs(4)])
  })

  test('is never at two places at once, and others are', async () => {
    await feed.store(days(40))
    let inside = 0
    let most = 0
    const work = async () => {
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setTimeout(resolve, 2))
      inside--
    }
    const places = Array.from({ length: 4 }, () => collector('one', work))
    const states: string[] = []
    const sources = places.map(() => feed.bench.open())
    for (let round = 0; round < 5; round++) {
      const done = await Promise.all(
        places.map(({ consumer }, place) =>
          runConsumers(sources[place]?.db ?? feed.db(), [consumer], {
            log: feed.bench.source.log,
            batchMax: 2,
            pagesMax: 5,
          }),
        ),
      )
      states.push(...done.flat().map(({ state }) => state))
    }
    for (const source of sources) await source.close()
    expect(most).toBe(1)
    expect(states).toContain('busy')
    expect(places.flatMap(({ seen }) => seen).sort()).toEqual(runs(40).sort())
  })

  test('that lost its lease moves no cursor', async () => {
    await feed.store(days(4))
    const heir = collector('one')
    const zombie = collector('one', async () => {
      if (zombie.seen.length > 0) return
      // It sleeps while its lease runs out, and another does all the work and more.
      await feed.expireLeases()
      expect(await feed.run(heir.consumer)).toBe('done')
      await feed.store(days(1, 4))
    })
    expect(await feed.run(zombie.consumer, { batchMax: 2 })).toBe('lost')
    expect(zombie.seen).toEqual(runs(2))
    expect(feed.bench.logged).toMatchObject([{ level: 'warn', event: 'metadata_consumer_lost' }])
    expect(await feed.run(heir.consumer)).toBe('done')
    expect(heir.seen).toEqual(runs(5))
  })

  test('that lost its lease does not free its heir', async () => {
    await feed.store(days(1))
    const zombie = collector('one', async () => {
      await feed.expireLeases()
      await feed.query('update metadata.consumer set epoch = epoch + 1, lease_expires_at = $1', ['infinity'])
    })
    expect(await feed.run(zombie.consumer)).toBe('lost')
    expect(await feed.run(collector('one').consumer)).toBe('busy')
  })

  test('ends between two pages where all is to stop, and hears of it within one', async () => {
    await feed.store(days(6))
    const stop = new AbortController()
    const heard: boolean[] = []
    const { consumer, seen } = collector('one', async (_records, { signal }) => {
      if (seen.length > 0) stop.abort()
      heard.push(signal.aborted)
    })
    expect(await feed.run(consumer, { batchMax: 2, stop: stop.signal })).toBe('stopped')
    expect([seen, heard]).toEqual([runs(4), [false, true]])
    expect(await feed.run(consumer, { stop: stop.signal })).toBe('stopped')
    expect(await feed.run(consumer)).toBe('done')
    expect(seen).toEqual(runs(6))
  })
})
