import type { Database, Queryable, Statement } from '../../postgres/database.ts'

export type BudgetSize = {
  /** Whole tokens that may be taken at once after a long silence. */
  readonly capacity: number
  readonly refillPerS: number
}

/** `retryAfterS`: whole seconds, at least one; earlier there is no token. */
export type Taken = { readonly ok: true } | { readonly ok: false; readonly retryAfterS: number }

export type TokenBudgets = {
  /** Takes one token of the budget of that name. */
  readonly take: (budget: string, size: BudgetSize) => Promise<Taken>
  /** What `take` said last, while it stands: asks nobody. Null: nothing is known against it. */
  readonly refusal: (budget: string) => { readonly retryAfterS: number } | null
}

// Takes up to $4 whole tokens where there is one; else says how long until there is, and writes nothing. The clock is
// read once, after the lock: a time from before it would count again what another process has counted meanwhile.
const RESERVE: Statement = {
  name: 'reserve_metadata_budget',
  text: `
with locked as materialized (
  select tokens, refilled_at from metadata.rate_budget where budget = $1::text for update
), timed as materialized (
  select *, clock_timestamp() as at from locked
), bucket as (
  select at, least($2::float8, tokens + greatest(extract(epoch from at - refilled_at)::float8, 0) * $3::float8) as tokens
    from timed
), asked as (
  select at, tokens, least($4::float8, floor(tokens)) as granted, (1 - tokens) / $3::float8 as wait_s from bucket
), taken as (
  update metadata.rate_budget b
     set capacity = $2::float8::int, refill_per_s = $3::float8, tokens = a.tokens - a.granted, refilled_at = a.at
    from asked a
   where b.budget = $1::text and a.granted >= 1
)
select granted, wait_s as "waitS" from asked`,
}

const OPEN: Statement = {
  name: 'open_metadata_budget',
  text: `
insert into metadata.rate_budget (budget, capacity, refill_per_s, tokens)
values ($1::text, $2::float8::int, $3::float8, $2::float8)
on conflict do nothing`,
}

// One that is full again says what no row says.
const SWEEP: Statement = {
  name: 'sweep_metadata_budgets',
  text: `
with full_again as (
  select budget from metadata.rate_budget
   where tokens + extract(epoch from now() - refilled_at) * refill_per_s >= capacity
   limit $1::int for update skip locked
), gone as (
  delete from metadata.rate_budget b using full_again f where b.budget = f.budget returning 1
)
select count(*) as swept from gone`,
}

const SWEPT_MAX = 5_000
const BUDGETS_MAX = 10_000
/** The row may be swept between two statements, not for ever. */
const TRIES_MAX = 3

type State = {
  /** Reserved for this process and not taken yet. */
  left: number
  refusedUntilMs: number
  pending: Promise<void> | null
}

/**
 * Token buckets in `metadata.rate_budget`, shared by all instances. A process reserves a tenth of a budget at once, so
 * that most requests ask nobody: what it has reserved and not used is the error, at most one chunk per instance.
 */
export function createTokenBudgets(db: Queryable): TokenBudgets {
  const states = new Map<string, State>()

  const stateOf = (budget: string): State => {
    const known = states.get(budget)
    if (known !== undefined) return known
    for (const oldest of states.keys()) {
      if (states.size < BUDGETS_MAX) break
      states.delete(oldest)
    }
    const state: State = { left: 0, refusedUntilMs: 0, pending: null }
    states.set(budget, state)
    return state
  }

  return {
    async take(budget, size) {
      checkSize(budget, size)
      const state = stateOf(budget)
      // Ends: every round takes a token, finds a refusal, or waits for a reservation that brought one of the two.
      for (;;) {
        if (state.left > 0) {
          state.left--
          return { ok: true }
        }
        const refused = refusalOf(state)
        if (refused !== null) return { ok: false, ...refused }
        state.pending ??= reserve(db, budget, size, state).finally(() => {
          state.pending = null
        })
        await state.pending
      }
    },
    refusal(budget) {
      const state = states.get(budget)
      return state === undefined || state.left > 0 ? null : refusalOf(state)
    },
  }
}

/** Deletes budgets that are full again, at most 5,000: addresses that guessed come once and never again. */
export async function sweepTokenBudgets(db: Database): Promise<number> {
  const [row] = await db.query<{ swept: number }>(SWEEP, [SWEPT_MAX])
  return row?.swept ?? 0
}

async function reserve(db: Queryable, budget: string, size: BudgetSize, state: State): Promise<void> {
  const { capacity, refillPerS } = size
  const chunk = Math.max(1, Math.floor(capacity / 10))
  for (let tryNo = 1; tryNo <= TRIES_MAX; tryNo++) {
    const values = [budget, capacity, refillPerS, chunk]
    const [answer] = await db.query<{ granted: number; waitS: number }>(RESERVE, values)
    if (answer !== undefined) {
      if (answer.granted >= 1) state.left += answer.granted
      else state.refusedUntilMs = performance.now() + answer.waitS * 1000
      return
    }
    await db.query(OPEN, values.slice(0, 3))
  }
  state.refusedUntilMs = performance.now() + 1000
}

function refusalOf({ refusedUntilMs }: State): { readonly retryAfterS: number } | null {
  const waitMs = refusedUntilMs - performance.now()
  // Rounded up: whoever waits that long is not early.
  return waitMs > 0 ? { retryAfterS: Math.ceil(waitMs / 1000) } : null
}

function checkSize(budget: string, { capacity, refillPerS }: BudgetSize): void {
  if (Number.isInteger(capacity) && capacity >= 1 && refillPerS > 0 && Number.isFinite(refillPerS)) return
  throw new Error(`budget ${budget}: expected a whole capacity and a refill above 0, got ${capacity}, ${refillPerS}`)
}
