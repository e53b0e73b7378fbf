import type { Queryable, Statement } from '../postgres/database.ts'
import type { Budget } from './contract.ts'

/** How long tokens reserved ahead may be used; after that the provider's window has moved on. */
const RESERVED_MS_MAX = 5_000

// By lane what must be left in the bucket: live may empty it, so what live does not use is lent to the others.
const LEAVES: Readonly<Record<string, number>> = { live: 0, import: 0, lookback: 0.25, backfill: 0.5, reprocess: 0 }

const OPEN: Statement = {
  name: 'open_rate_budget',
  text: `
insert into ingest.rate_budget (budget_key, capacity, refill_per_s, tokens)
values ($1::text, $2::float8, $3::float8, $2::float8)
on conflict do nothing`,
}

// Grants up to $4 tokens, at least one, where that leaves $5 in the bucket; else says how long until it would.
const RESERVE: Statement = {
  name: 'reserve_rate_budget',
  text: `
with bucket as (
  select b.budget_key, clock_timestamp() as at,
         least($2::float8, b.tokens + greatest(extract(epoch from clock_timestamp() - b.refilled_at)::float8, 0) * $3::float8) as tokens,
         greatest(extract(epoch from b.blocked_until - clock_timestamp())::float8, 0) as blocked_s
    from ingest.rate_budget b
   where b.budget_key = $1::text
     for update
), granted as (
  select *, case when coalesce(blocked_s, 0) > 0 then 0
                 else greatest(0, least($4::int, floor(tokens - $5::float8)::int)) end as count
    from bucket
), taken as (
  update ingest.rate_budget b
     set capacity = $2::float8, refill_per_s = $3::float8, tokens = g.tokens - g.count, refilled_at = g.at
    from granted g
   where b.budget_key = g.budget_key
)
select count, greatest(coalesce(blocked_s, 0), case when count > 0 then 0 else (1 + $5::float8 - tokens) / $3::float8 end) as "waitS"
  from granted`,
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

/** Tokens of one process. They are reserved in chunks, so that many pages cost one statement. */
export function createRateBudgets(): RateBudgets {
  const reserved = new Map<string, { count: number; readonly atMs: number }>()
  return {
    async reserve(db, budget, lane) {
      const key = `${budget.key}/${lane}`
      const held = reserved.get(key)
      if (held !== undefined && held.count > 0 && performance.now() - held.atMs < RESERVED_MS_MAX) {
        held.count--
        return { waitMs: 0 }
      }
      const want = Math.max(1, Math.floor(budget.capacity / 10))
      const leave = Math.min((LEAVES[lane] ?? 0) * budget.capacity, budget.capacity - 1)
      const values = [budget.key, budget.capacity, budget.refillPerS, want, leave]
      let [grant] = await db.query<{ count: number; waitS: number }>(RESERVE, values)
      if (grant === undefined) {
        await db.query(OPEN, values.slice(0, 3))
        grant = (await db.query<{ count: number; waitS: number }>(RESERVE, values))[0]
      }
      if (grant === undefined || grant.count === 0) return { waitMs: Math.ceil((grant?.waitS ?? 1) * 1000) }
      reserved.set(key, { count: grant.count - 1, atMs: performance.now() })
      return { waitMs: 0 }
    },
    async block(db, budget, forMs) {
      for (const key of reserved.keys()) if (key.startsWith(`${budget.key}/`)) reserved.delete(key)
      await db.query(BLOCK, [budget.key, forMs / 1000])
    },
  }
}
