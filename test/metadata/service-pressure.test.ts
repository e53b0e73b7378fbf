import { describe, expect, test, vi } from 'vitest'
import { MICROS_PER_SECOND } from '../../shared/instant.ts'
import { volume } from './fact.ts'
import { useService } from './service-bench.ts'

const READABLE = `select coalesce(max(xid) < pg_snapshot_xmin(pg_current_snapshot()), true) as all from metadata.record`

describe('the metadata service under load', () => {
  const bench = useService()
  const { ask } = bench

  /** As if so many seconds had gone by for what the service remembers. */
  const later = (seconds: number) => {
    bench.nowOffset += BigInt(seconds) * MICROS_PER_SECOND
  }

  test('writes wait while the outbox does, reads never; both go on when it is worked off', async () => {
    await bench.query(`insert into metadata.outbox (record, due_at) values ('{}', now() - interval '6 minutes')`)
    const refused = await ask('POST', '/records', { body: volume(0) })
    expect([refused.status, refused.body]).toMatchObject([
      429,
      { type: '/api/metadata/v1/problems/backpressure', retriable: true },
    ])
    expect(refused.headers.get('retry-after')).toBe('30')
    expect((await ask('POST', '/records/batch', { body: { records: [] } })).status).toBe(429)
    expect((await ask('GET', '/records')).status).toBe(200)
    await bench.query('delete from metadata.outbox')
    expect((await ask('POST', '/records', { body: volume(0) })).status).toBe(429)
    later(6)
    expect((await ask('POST', '/records', { body: volume(0) })).status).toBe(201)
  })

  test('a row that waits for its turn holds nobody up', async () => {
    later(6)
    await bench.query(
      `insert into metadata.outbox (record, due_at, created_at) values ('{}', now() + interval '1 hour', now() - interval '1 hour')`,
    )
    expect((await ask('POST', '/records', { body: volume(1) })).status).toBe(201)
    await bench.query('delete from metadata.outbox')
  })

  test('writes wait while a consumer of the feed is behind', async () => {
    later(6)
    await bench.query(`update metadata.record set stored_at = now() - interval '6 minutes'`)
    await bench.query(
      `insert into metadata.consumer (consumer, generation, xid, seq) select 'log', generation, '0', 0 from metadata.feed`,
    )
    expect((await ask('POST', '/records', { body: volume(2) })).status).toBe(429)
    await bench.query('delete from metadata.consumer')
  })

  test('outbox and feed are asked once, however many write in five seconds', async () => {
    later(6)
    const statements: string[] = []
    bench.setHook((operation, run) => {
      statements.push(operation.subject)
      return run()
    })
    await Promise.all([3, 4, 5].map((day) => ask('POST', '/records', { body: volume(day) })))
    bench.setHook((_operation, run) => run())
    expect(statements.filter((name) => name === 'oldest_due_of_metadata_outbox')).toHaveLength(1)
  })

  test('more than eight who wait for the feed are answered at once', async () => {
    // A transaction of any database of the server holds the feed back: what was stored before must be readable now.
    await vi.waitFor(async () => expect(await bench.query(READABLE)).toEqual([{ all: true }]), { timeout: 20_000 })
    const { body } = await ask('GET', '/feed?limit=500')
    const path = `/feed?after=${body.next}&wait=10`
    const looked = bench.after('read_metadata_feed', 8)
    const waiting = Array.from({ length: 8 }, () => ask('GET', path))
    let done = 0
    for (const one of waiting) void one.then(() => done++)
    await looked
    // The eight began before it: were it to wait, they would end before it.
    const ninth = await ask('GET', path)
    expect([ninth.body.records, done]).toEqual([[], 0])
    await bench.ours.store(volume(6))
    for (const { body } of await Promise.all(waiting)) expect(body.records).toHaveLength(1)
  })

  test('a token that asks too often is told when to come again, and others are not', async () => {
    const token = await bench.token(['records:read'])
    await ask('GET', '/records', { token })
    const [id] = token.split('_').slice(2)
    const taken = await bench.query(
      `update metadata.rate_budget set tokens = 0, refilled_at = now() + interval '1 hour' where budget = $1 returning 1`,
      [`token/${id}`],
    )
    expect(taken).toHaveLength(1)
    let answer = await ask('GET', '/records', { token })
    for (let n = 0; n < 150 && answer.status === 200; n++) answer = await ask('GET', '/records', { token })
    expect([answer.status, answer.body.type]).toEqual([429, '/api/metadata/v1/problems/rate-limited'])
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await ask('GET', '/records')).status).toBe(200)
  })
})
