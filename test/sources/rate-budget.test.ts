import { beforeEach, describe, expect, test } from 'vitest'
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

  test('is reserved in chunks of a tenth: many pages cost one statement', async () => {
    const budgets = createRateBudgets()
    const large = { key: 'large', capacity: 100, refillPerS: 0.001 }
    for (let page = 0; page < 10; page++) await budgets.reserve(ground.platform.db, large, 'live')
    const [row] = await ground.query<{ tokens: number }>('select round(tokens)::int as tokens from ingest.rate_budget')
    expect(row).toEqual({ tokens: 90 })
  })

  test('that is blocked gives nothing to any process or lane, tokens that were reserved before neither', async () => {
    const budgets = createRateBudgets()
    await budgets.reserve(ground.platform.db, SLOW, 'live')
    await budgets.block(ground.platform.db, SLOW, 60_000)
    for (const lane of ['live', 'backfill']) {
      const { waitMs } = await budgets.reserve(ground.platform.db, SLOW, lane)
      expect(waitMs).toBeLessThanOrEqual(60_000)
      expect(waitMs).toBeGreaterThan(0)
    }
    expect((await drain('live')).count).toBe(0)
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
