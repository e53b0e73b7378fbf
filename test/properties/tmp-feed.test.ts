import { describe, expect, test } from 'vitest'
import { useFeed } from '../metadata/feed-bench.ts'
import { TARGET, volume } from '../metadata/fact.ts'
describe('x', () => {
  const feed = useFeed()
  test('y', async () => {
    await feed.store([0, 1, 2].map((n) => volume(n, { target: { ...TARGET, table: `t${n}` } })))
    await feed.query(`update metadata.record set stored_at = now() - interval '100 days'`)
    await feed.query(`insert into metadata.compaction (kind, below) values ('ingestion_volume', current_date - 90)`)
    const first = await feed.read({ limit: 2 })
    console.log(first.records.length, JSON.stringify(first.position))
    const second = await feed.read({ limit: 2, after: first.position }).catch((e: Error) => e)
    console.log('SECOND', second instanceof Error ? `${second.name} ${second.message}` : second.records.length)
    expect(1).toBe(1)
  })
})
