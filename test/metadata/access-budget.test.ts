import { beforeEach, describe, expect, test } from 'vitest'
import { createTokenBudgets, sweepTokenBudgets, type TokenBudgets } from '../../shared/metadata/access/budget.ts'
import { guessBudget } from '../../shared/metadata/access/client-address.ts'
import { useAccess } from './access-bench.ts'

/** Nothing comes back while a test runs: a token in eleven days. */
const SIZE = { capacity: 40, refillPerS: 1e-6 }

describe('rate budgets', () => {
  const bench = useAccess()
  beforeEach(async () => {
    await bench.query('delete from metadata.rate_budget')
    bench.statements.length = 0
  })
  const takeMany = async (budgets: TokenBudgets, times: number, budget = 'a', size = SIZE) => {
    const taken = await Promise.all(Array.from({ length: times }, () => budgets.take(budget, size)))
    return taken.filter(({ ok }) => ok).length
  }

  test('give their capacity and no more, whoever asks at once', async () => {
    const instances = [createTokenBudgets(bench.db), createTokenBudgets(bench.db), createTokenBudgets(bench.db)]
    for (let round = 0; round < 20; round++) {
      const taken = await Promise.all(instances.map((budgets) => takeMany(budgets, 30, `round ${round}`)))
      expect(taken.reduce((sum, n) => sum + n, 0)).toBe(40)
    }
  })

  test('are reserved a tenth at once: what an instance has reserved it gives without asking', async () => {
    expect(await takeMany(createTokenBudgets(bench.db), 40)).toBe(40)
    const reserved = bench.statements.filter((name) => name === 'reserve_metadata_budget')
    // Ten chunks of four, and the look before there was a row.
    expect(reserved).toHaveLength(11)
  })

  test('lose at most one chunk with an instance that ends', async () => {
    for (let instance = 0; instance < 5; instance++) await takeMany(createTokenBudgets(bench.db), 1)
    expect(await takeMany(createTokenBudgets(bench.db), 40)).toBe(40 - 5 * 4)
  })

  test('of one token are given one by one', async () => {
    const size = { capacity: 1, refillPerS: 1e-6 }
    const budgets = createTokenBudgets(bench.db)
    expect(await takeMany(budgets, 5, 'one', size)).toBe(1)
  })

  test('say how long there is no token, and ask nobody meanwhile', async () => {
    const budgets = createTokenBudgets(bench.db)
    const slow = { capacity: 1, refillPerS: 0.01 }
    expect(budgets.refusal('slow')).toBeNull()
    expect(await budgets.take('slow', slow)).toEqual({ ok: true })
    expect(budgets.refusal('slow')).toBeNull()
    const refused = await budgets.take('slow', slow)
    expect(refused).toEqual({ ok: false, retryAfterS: expect.any(Number) })
    if (refused.ok) throw new Error('expected a refusal')
    expect(refused.retryAfterS).toBeGreaterThan(0)
    expect(refused.retryAfterS).toBeLessThanOrEqual(100)
    bench.statements.length = 0
    expect((await budgets.take('slow', slow)).ok).toBe(false)
    expect(budgets.refusal('slow')).not.toBeNull()
    expect(bench.statements).toEqual([])
  })

  test('fill again with time, up to their capacity', async () => {
    const size = { capacity: 40, refillPerS: 0.01 }
    await takeMany(createTokenBudgets(bench.db), 40, 'a', size)
    await bench.query(`update metadata.rate_budget set refilled_at = refilled_at - interval '1000 s'`)
    expect(await takeMany(createTokenBudgets(bench.db), 40, 'a', size)).toBe(10)
    await bench.query(`update metadata.rate_budget set refilled_at = refilled_at - interval '10 days'`)
    expect(await takeMany(createTokenBudgets(bench.db), 99, 'a', size)).toBe(40)
  })

  test('neither fill nor empty while the clock is behind what it was', async () => {
    const size = { capacity: 40, refillPerS: 0.01 }
    await takeMany(createTokenBudgets(bench.db), 36, 'a', size)
    await bench.query(`update metadata.rate_budget set refilled_at = now() + interval '1 hour'`)
    expect(await takeMany(createTokenBudgets(bench.db), 40, 'a', size)).toBe(4)
  })

  test('are one for each name', async () => {
    const budgets = createTokenBudgets(bench.db)
    expect(await takeMany(budgets, 41, 'a')).toBe(40)
    expect(await takeMany(budgets, 41, 'b')).toBe(40)
  })

  test.each([
    { capacity: 0, refillPerS: 1 },
    { capacity: 1.5, refillPerS: 1 },
    { capacity: 1, refillPerS: 0 },
    { capacity: 1, refillPerS: Number.POSITIVE_INFINITY },
  ])('refuse a size of %o', async (size) => {
    await expect(createTokenBudgets(bench.db).take('a', size)).rejects.toThrow('budget a: expected a whole capacity')
  })

  test('that are full again are swept, the others are not', async () => {
    await takeMany(createTokenBudgets(bench.db), 40, 'empty')
    await takeMany(createTokenBudgets(bench.db), 1, 'full')
    await bench.query(`update metadata.rate_budget set tokens = capacity where budget = 'full'`)
    expect(await sweepTokenBudgets(bench.db)).toBe(1)
    expect(await bench.query('select budget from metadata.rate_budget')).toEqual([{ budget: 'empty' }])
  })
})

describe('the budget of guesses', () => {
  test.each([
    ['10.1.2.3', 'guess/10.1.2.3'],
    [' 10.1.2.3 ', 'guess/10.1.2.3'],
    ['10.1.2.3:50123', 'guess/10.1.2.3'],
    ['::ffff:10.1.2.3', 'guess/10.1.2.3'],
    ['[::ffff:10.1.2.3]:50123', 'guess/10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', 'guess/2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', 'guess/2001:db8:1:2::/64'],
    ['[2001:DB8:1:2::1]:443', 'guess/2001:db8:1:2::/64'],
    ['2001:db8::1', 'guess/2001:db8:0:0::/64'],
    ['::1', 'guess/0:0:0:0::/64'],
    ['fe80::1%eth0', 'guess/fe80:0:0:0::/64'],
    [null, 'guess/unknown'],
    ['', 'guess/unknown'],
    ['1.2.3', 'guess/unknown'],
    ['10.1.2.3, 10.1.2.4', 'guess/unknown'],
    [`'; drop`, 'guess/unknown'],
    ['x'.repeat(10_000), 'guess/unknown'],
  ])('of %s is %s', (address, budget) => {
    expect(guessBudget(address)).toBe(budget)
  })
})
