import { beforeEach, describe, expect, test } from 'vitest'
import type { FeedConsumer } from '../../shared/metadata/feed/consumer.ts'
import { forgetConsumer } from '../../shared/metadata/feed/consumer-lease.ts'
import { FeedGoneError, feedLag, restartFeed } from '../../shared/metadata/feed/feed.ts'
import { volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const BY = { actor: 'ada', reason: 'restored to yesterday' }

describe('a restart of the feed', () => {
  const feed = useFeed()
  beforeEach(() => feed.clear())
  const audits = () => feed.query('select actor, action, subject, after from ops.audit order by audit_id')

  test('makes old positions name the hour of the log to go on from, and is in the audit', async () => {
    await feed.store([volume(0)])
    const { position } = await feed.read()
    const { generation } = await restartFeed(feed.db(), BY)
    const gone = await feed
      .read({ after: { ...position, asOf: '2024-03-05T23:59:59.999999Z' } })
      .catch((error) => error)
    expect(gone).toBeInstanceOf(FeedGoneError)
    expect(gone).toMatchObject({ code: 'feed-gone', logHour: 'log/2024/03/04/23.jsonl' })
    expect(gone.message).toContain('go on from log/2024/03/04/23.jsonl of the log')
    const after = { generation, reason: 'restored to yesterday' }
    expect(await audits()).toEqual([{ actor: 'ada', action: 'restart_metadata_feed', subject: 'metadata.feed', after }])
    await feed.settle()
    expect((await feed.read()).position).toMatchObject({ generation })
  })

  test('lets consumers begin again, each once', async () => {
    const seen: string[] = []
    const consumer: FeedConsumer = {
      name: 'seen',
      async consume(records) {
        seen.push(...records.map(({ record }) => record.context.runId ?? ''))
      },
    }
    await feed.store([volume(0), volume(1)])
    await feed.run(consumer)
    await restartFeed(feed.db(), BY)
    await feed.settle()
    for (let round = 0; round < 2; round++) await feed.run(consumer)
    expect(seen).toEqual(['run-0', 'run-1', 'run-0', 'run-1'])
  })

  test('makes records readable whose numbers are those of another server', async () => {
    await feed.store([volume(0), volume(1)])
    await feed.query(`update metadata.record set xid = (xid::text::bigint + 1000000000)::text::xid8`)
    await feed.settle()
    expect(await feed.readAll()).toEqual([])
    await restartFeed(feed.db(), BY)
    await feed.settle()
    expect(await feed.readAll()).toEqual(['run-0', 'run-1'])
  })

  describe('its lag', () => {
    const idle: FeedConsumer = { name: 'idle', consume: async () => undefined }

    test('is how much a consumer has not read, and how old the first of it is', async () => {
      await feed.store([volume(0)])
      await feed.run(idle)
      expect(await feedLag(feed.db())).toMatchObject({ consumers: [{ consumer: 'idle', rows: 0, seconds: 0 }] })
      await feed.store([volume(1), volume(2)])
      await feed.query(`update metadata.record set stored_at = now() - interval '1 hour' where run_id = 'run-1'`)
      const lag = await feedLag(feed.db())
      expect(lag.consumers).toMatchObject([{ consumer: 'idle', rows: 2 }])
      expect(Math.floor(lag.seconds / 60)).toBe(60)
      await restartFeed(feed.db(), BY)
      expect((await feedLag(feed.db())).consumers).toMatchObject([{ rows: 3 }])
    })

    test('is told of what an open transaction holds back', async () => {
      await feed.store([volume(0)])
      await feed.bench.source.db.transaction(async (tx) => {
        await tx.query({ name: 'test writes', text: 'select pg_current_xact_id()' })
        await feed.bench.write([volume(1)])
        // The pool has two connections: one holds the feed, the other stores.
        await feed.bench.dispatch()
        await feed.query(`update metadata.record set stored_at = now() - interval '1 hour' where run_id = 'run-1'`)
        expect(Math.floor((await feedLag(feed.db())).heldBackSeconds / 60)).toBe(60)
      })
      await feed.settle()
      expect((await feedLag(feed.db())).heldBackSeconds).toBe(0)
    })

    test('counts no consumer that a person had forgotten', async () => {
      await feed.run(idle)
      expect(await forgetConsumer(feed.db(), 'idle', BY)).toBe(true)
      expect(await forgetConsumer(feed.db(), 'idle', BY)).toBe(false)
      expect((await feedLag(feed.db())).consumers).toEqual([])
      expect(await audits()).toMatchObject([{ action: 'forget_metadata_consumer', subject: 'idle' }])
    })
  })
})
