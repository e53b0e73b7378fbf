import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Queryable } from '../../shared/postgres/database.ts'
import { createRateBudgets } from '../../shared/sources/rate-budget.ts'
import { useGround } from '../ingest/ground.ts'

const SLOW = { key: 'slow', capacity: 20, refillPerS: 0.001 }

describe('a rate budget', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  /** Tokens that one process gets, one at a time, until there is none. */
  const drain = async (lane: string, budget = SLOW, db = ground.platform.db, countMax = 1_000) => {
    const budgets = createRateBudgets()
    for (let count = 0; count < countMax; count++) {
      const { waitMs } = await budgets.reserve(db, budget, lane)
      if (waitMs > 0) return { count, waitMs }
    }
    return { count: countMax, waitMs: 0 }
  }
  /** To a bucket, time passes when it was last filled longer ago. */
  const pass = (ms: number) =>
    ground.query('update ingest.rate_budget set refilled_at = refilled_at - make_interval(secs => $1::float8)', [
      ms / 1000,
    ])
  const tokens = (count: number) =>
    ground.query('update ingest.rate_budget set tokens = $1, refilled_at = clock_timestamp()', [count])

  test('gives out its capacity and then says how long until the next token', async () => {
    const { count, waitMs } = await drain('live')
    expect(count).toBe(20)
    // A token takes 1,000 s to come back; some time has passed since the last was given.
    expect(waitMs).toBeLessThanOrEqual(1_000_000)
    expect(waitMs).toBeGreaterThan(900_000)
  })

  test.each([
    ['live', 20],
    ['import', 20],
    ['lookback', 15],
    ['backfill', 10],
  ])('lane %s gets %i of 20 tokens and leaves the others', async (lane, count) => {
    expect((await drain(lane)).count).toBe(count)
    expect((await drain('live')).count).toBe(20 - count)
  })

  test('of one token gives it to every lane', async () => {
    const single = { key: 'single', capacity: 1, refillPerS: 0.001 }
    expect((await drain('backfill', single)).count).toBe(1)
  })

  test('of more than one leaves live a start: the token that a backfill does not get yet live gets', async () => {
    const small = { key: 'small', capacity: 1.25, refillPerS: 0.001 }
    expect((await drain('backfill', small)).count).toBe(1)
    await pass((await drain('live', small)).waitMs)
    expect((await drain('backfill', small)).count).toBe(0)
    expect((await drain('live', small)).count).toBe(1)
  })

  test('alone, a backfill that waits as long as it is told gets every token of the refill', async () => {
    const one = { key: 'one', capacity: 20, refillPerS: 1 }
    await drain('backfill', one)
    let waitedMs = 0
    for (let token = 0; token < 50; token++) {
      const { waitMs } = await drain('backfill', one)
      await pass(waitMs)
      waitedMs += waitMs
      expect((await drain('backfill', one, ground.platform.db, 1)).count).toBe(1)
    }
    // A second each; every wait is rounded up by less than one.
    expect(waitedMs).toBeLessThanOrEqual(50_050)
  })

  test('what a lane must leave is waited for, not the next token alone', async () => {
    await drain('live')
    const { waitMs } = await drain('backfill')
    // Eleven tokens at 1,000 s each.
    expect(waitMs).toBeLessThanOrEqual(11_000_000)
    expect(waitMs).toBeGreaterThan(10_900_000)
  })

  test('comes back with time, up to its capacity', async () => {
    await drain('live')
    await ground.query(`update ingest.rate_budget set tokens = 0, refilled_at = now() - interval '5000 seconds'`)
    expect((await drain('live')).count).toBe(5)
    await ground.query(`update ingest.rate_budget set tokens = 0, refilled_at = now() - interval '30 days'`)
    expect((await drain('live')).count).toBe(20)
  })

  test('a clock that goes back gives no tokens and takes none', async () => {
    await drain('live')
    await ground.query(`update ingest.rate_budget set tokens = 3, refilled_at = now() + interval '1 hour'`)
    expect((await drain('live')).count).toBe(3)
  })

  test('several processes under one quota never get more than capacity and refill, and what is there they get', async () => {
    const fast = { key: 'fast', capacity: 20, refillPerS: 40 }
    const workers = [ground.platform, ground.openWorker(), ground.openWorker()]
    const [first] = await ground.query<{ at: number }>('select extract(epoch from clock_timestamp())::float8 as at')
    const given = await Promise.all(workers.flatMap(({ db }) => [countFor(db, fast), countFor(db, fast)]))
    const [last] = await ground.query<{ at: number }>('select extract(epoch from clock_timestamp())::float8 as at')
    const elapsedS = (last?.at ?? 0) - (first?.at ?? 0)
    const total = given.reduce((sum, count) => sum + count, 0)
    expect(total).toBeLessThanOrEqual(20 + 40 * elapsedS)
    expect(total).toBeGreaterThanOrEqual(20)
  })

  const countFor = async (db: typeof ground.platform.db, budget: typeof SLOW) => {
    const budgets = createRateBudgets()
    let count = 0
    for (let asked = 0; asked < 60; asked++) if ((await budgets.reserve(db, budget, 'live')).waitMs === 0) count++
    return count
  }

  test('two processes that open it at once open it once', async () => {
    const other = ground.openWorker()
    const counts = await Promise.all([drain('live', SLOW), drain('live', SLOW, other.db)])
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(20)
  })

  test('is not kept by a process: what one has not asked for is there for the others', async () => {
    const large = { key: 'large', capacity: 100, refillPerS: 0.001 }
    expect((await drain('live', large, ground.platform.db, 1)).count).toBe(1)
    expect((await drain('live', large)).count).toBe(99)
  })

  test('a process that waited for another counts no time that the other has counted', async () => {
    const [first, second] = [ground.openWorker(), ground.openWorker()]
    const budgets = createRateBudgets()
    await budgets.reserve(first.db, SLOW, 'live')
    let waiting: Promise<unknown> = Promise.resolve()
    const counted = await first.db.transaction(async (tx) => {
      await tx.query({ name: 'test lock', text: 'select from ingest.rate_budget for update' })
      waiting = budgets.reserve(second.db, SLOW, 'live')
      await someoneWaits()
      await budgets.reserve(tx, SLOW, 'live')
      return refilledAt(tx)
    })
    await waiting
    expect(await refilledAt(ground.platform.db)).toBeGreaterThan(counted)
  })

  const refilledAt = async (db: Queryable) => {
    const text = 'select extract(epoch from refilled_at)::float8 as "atS" from ingest.rate_budget'
    const [row] = await db.query<{ atS: number }>({ name: 'test refilled at', text })
    return row?.atS ?? Number.NaN
  }
  const someoneWaits = async () => {
    const text = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    for (let poll = 0; poll < 1_000; poll++) {
      if ((await ground.query(text)).length > 0) return
      await sleep(5)
    }
    throw new Error('locks: expected a process that waits for one, got none')
  }

  test('that is blocked gives nothing to any process or lane, until the block is over', async () => {
    const [told, other] = [createRateBudgets(), createRateBudgets()]
    for (const { reserve } of [told, other]) await reserve(ground.platform.db, SLOW, 'live')
    await told.block(ground.platform.db, SLOW, 60_000)
    for (const { reserve } of [told, other]) {
      for (const lane of ['live', 'backfill']) {
        const { waitMs } = await reserve(ground.platform.db, SLOW, lane)
        expect(waitMs).toBeLessThanOrEqual(60_000)
        expect(waitMs).toBeGreaterThan(0)
      }
    }
    await ground.query('update ingest.rate_budget set blocked_until = now()')
    expect((await drain('live')).count).toBe(18)
  })

  test('a block only ever moves forward, and ends', async () => {
    const budgets = createRateBudgets()
    await drain('live')
    await budgets.block(ground.platform.db, SLOW, 3_600_000)
    await budgets.block(ground.platform.db, SLOW, 1_000)
    const [row] = await ground.query(
      `select blocked_until > now() + interval '50 minutes' as "stillLong" from ingest.rate_budget`,
    )
    expect(row).toEqual({ stillLong: true })
    await ground.query(`update ingest.rate_budget set blocked_until = now() - interval '1 second'`)
    await tokens(4)
    expect((await drain('live')).count).toBe(4)
  })

  test('takes over a capacity that a new version of the source lowers', async () => {
    await drain('live', SLOW, ground.platform.db, 1)
    expect((await drain('live', { ...SLOW, capacity: 5 })).count).toBe(5)
  })
})
