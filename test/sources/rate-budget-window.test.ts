import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { Budget } from '../../shared/sources/contract.ts'
import { fred } from '../../shared/sources/fred/fred.ts'
import { massive } from '../../shared/sources/massive/massive.ts'
import { createRateBudgets } from '../../shared/sources/rate-budget.ts'
import { useGround } from '../ingest/ground.ts'

const LANES = ['live', 'lookback', 'backfill']
const PROCESSES = 3
const ALL = 1_000
/** PostgreSQL keeps instants in whole µs. */
const ROUNDING = 1e-4

/** What the providers allow: requests in any so many seconds. */
const LIMITS = [
  { budget: alpaca.budget, requestsMax: 200, windowS: 60 },
  { budget: fred.budget, requestsMax: 2, windowS: 1 },
  { budget: fred.budget, requestsMax: 120, windowS: 60 },
  { budget: massive.budget, requestsMax: 5, windowS: 60 },
]

const budgets: fc.Arbitrary<Budget> = fc.record({
  key: fc.constant('any'),
  capacity: fc.oneof(fc.constantFrom(1, 1.25), fc.integer({ min: 20, max: 40 })),
  refillPerS: fc.constantFrom(0.5, 2.5, 20),
})
const ask = fc.record({
  process: fc.nat(PROCESSES - 1),
  lane: fc.constantFrom(...LANES),
  /** One page, a few, or until there is no token left. */
  tokensMax: fc.constantFrom(1, 1, 3, ALL),
})
/** A pause, and who asks after it. */
const round = fc.record({
  sleepMs: fc.constantFrom(0, 500, 3_000),
  asks: fc.array(ask, { minLength: 1, maxLength: 12 }),
})

// Tokens that were kept would be spent beside a bucket that is full again.
const WAITING_FOR_MORE: Budget = { key: 'any', capacity: 40, refillPerS: 20 }
const EVERYONE = LANES.flatMap((lane) => Array.from({ length: PROCESSES }, (_, process) => ({ process, lane })))
const EACH_ONE = { sleepMs: 0, asks: EVERYONE.map((who) => ({ ...who, tokensMax: 1 })) }
const ALL_AT_ONCE = { sleepMs: 3_000, asks: EVERYONE.map((who) => ({ ...who, tokensMax: ALL })) }

test.each(LIMITS)(
  'the budget of $budget.key has no more than $requestsMax tokens in any $windowS s',
  ({ budget: { capacity, refillPerS }, requestsMax, windowS }) => {
    expect(Math.floor(capacity + windowS * refillPerS)).toBeLessThanOrEqual(requestsMax)
  },
)

describe('tokens of a rate budget', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())

  /** The clock of the budgets: the database's, and what was slept. */
  const openClock = () => {
    let sleptS = 0
    return {
      async now() {
        const [row] = await ground.query<{ atS: number; left: number }>(
          `select extract(epoch from clock_timestamp())::float8 as "atS",
                  (select tokens from ingest.rate_budget) as left`,
        )
        return { atS: (row?.atS ?? Number.NaN) + sleptS, left: row?.left ?? Number.NaN }
      },
      /** To a bucket, time passes when it was last filled longer ago. */
      async sleep(ms: number) {
        await ground.query(
          'update ingest.rate_budget set refilled_at = refilled_at - make_interval(secs => $1::float8)',
          [ms / 1000],
        )
        sleptS += ms / 1000
      },
    }
  }

  test('whoever asks for them, and when: no window has more than capacity and its refill', async () => {
    await fc.assert(
      fc.asyncProperty(budgets, fc.array(round, { minLength: 2, maxLength: 4 }), async (budget, rounds) => {
        await ground.clear()
        const clock = openClock()
        const processes = Array.from({ length: PROCESSES }, () => createRateBudgets())
        const spent: Spent[] = []
        let before = await clock.now()
        for (const { sleepMs, asks } of rounds) {
          await clock.sleep(sleepMs)
          for (const { process, lane, tokensMax } of asks) {
            for (let asked = 0; asked < tokensMax; asked++) {
              const answer = await processes[process]?.reserve(ground.platform.db, budget, lane)
              const after = await clock.now()
              if (answer?.waitMs !== 0) break
              spent.push({ fromS: before.atS, toS: after.atS })
              before = after
            }
          }
        }
        expect(crowdedWindows(spent, budget)).toEqual([])
      }),
      { numRuns: 20, examples: [[WAITING_FOR_MORE, [EACH_ONE, ALL_AT_ONCE]]] },
    )
  })
})

type Spent = { readonly fromS: number; readonly toS: number }

/** Windows from one token to a later one that hold too many. */
function crowdedWindows(spent: readonly Spent[], { capacity, refillPerS }: Budget): readonly string[] {
  return spent.flatMap(({ fromS }, first) =>
    spent.slice(first).flatMap(({ toS }, more) => {
      const tokensMax = capacity + refillPerS * (toS - fromS) + ROUNDING
      return more + 1 <= tokensMax ? [] : [`${more + 1} tokens in ${toS - fromS} s, at most ${tokensMax}`]
    }),
  )
}
