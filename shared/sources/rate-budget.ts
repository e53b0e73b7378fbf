import type { Queryable, Statement } from '../postgres/database.ts'
import type { Budget } from './contract.ts'

// By lane what share of the capacity must be left: live may empty the bucket, so what live does not use is lent to the
// others. A bucket of one token has nothing to leave: a source that may have a backfill has a capacity above one.
const LEAVES: Readonly<Record<string, number>> = { live: 0, import: 0, lookback: 0.25, backfill: 0.5, reprocess: 0 }

const OPEN: Statement = {
  name: 'open_rate_budget',
  text: `
insert into ingest.rate_budget (budget_key, capacity, refill_per_s, tokens)
values ($1::text, $2::float8, $3::float8, $2::float8)
on conflict do nothing`,
}

// Takes one token where that leaves $4 in the bucket; else says how long until it would, and writes nothing. The clock
// is read once, after the lock: a time from before it would count again what another process has counted meanwhile.
const RESERVE: Statement = {
  name: 'reserve_rate_budget',
  text: `
with locked as materialized (
  select tokens, refilled_at, blocked_until from ingest.rate_budget where budget_key = $1::text for update
), timed as materialized (
  select *, clock_timestamp() as at from locked
), bucket as (
  select at, extract(epoch from blocked_until - at)::float8 as blocked_s,
         least($2::float8, tokens + greatest(extract(epoch from at - refilled_at)::float8, 0) * $3::float8) as tokens
    from timed
), asked as (
  select at, tokens, greatest(blocked_s, (1 + $4::float8 - tokens) / $3::float8, 0) as wait_s from bucket
), taken as (
  update ingest.rate_budget b
     set capacity = $2::float8, refill_per_s = $3::float8, tokens = a.tokens - 1, refilled_at = a.at
    from asked a
   where b.budget_key = $1::text and a.wait_s = 0
)
select wait_s as "waitS" from asked`,
}

// Only ever moves forward.
const BLOCK: Statement = {
  name: 'block_rate_budget',
  text: `
update ingest.rate_budget
   set blocked_until = greatest(blocked_until, clock_timestamp() + make_interval(secs => $2::float8))
 where budget_key = $1::text`,
}

export type RateBudgets = {
  /** Takes one token, or says for how many milliseconds there is none. */
  readonly reserve: (db: Queryable, budget: Budget, lane: string) => Promise<{ readonly waitMs: number }>
  /** The provider said slow down: stops every instance for that long. */
  readonly block: (db: Queryable, budget: Budget, forMs: number) => Promise<void>
}

/**
 * A token is asked for when it is spent, and no process keeps one. Tokens reserved ahead, in chunks, were spent in
 * another window than the one they were counted in, also while the provider had the others wait, and were lost where
 * they were not needed. What they saved is 0.6 ms a page; one row gives four processes 1,500 tokens a second (both
 * measured with fsync on two cores), and no provider here allows more than a few.
 * What is already on its way when a block is written nobody can call back.
 */
export function createRateBudgets(): RateBudgets {
  return {
    async reserve(db, budget, lane) {
      const leave = Math.min((LEAVES[lane] ?? 0) * budget.capacity, budget.capacity - 1)
      const values = [budget.key, budget.capacity, budget.refillPerS]
      const ask = () => db.query<{ waitS: number }>(RESERVE, [...values, leave])
      let [answer] = await ask()
      if (answer === undefined) {
        await db.query(OPEN, values)
        answer = (await ask())[0]
      }
      // Rounded up: whoever waits that long is not early.
      return { waitMs: Math.ceil((answer?.waitS ?? 1) * 1000) }
    },
    async block(db, budget, forMs) {
      await db.query(BLOCK, [budget.key, forMs / 1000])
    },
  }
}
