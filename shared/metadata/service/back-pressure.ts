import type { Instant } from '../../instant.ts'
import { MICROS_PER_SECOND } from '../../instant.ts'
import type { Log } from '../../log/log.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { feedLag } from '../feed/feed.ts'
import { ServiceError } from './problems.ts'

/** What waits longer than this is not worked off: more of it would only wait longer. */
const LAG_S_MAX = 300
/** Of one instance: a measurement counts for as long. */
const MEASURED_FOR = 5n * MICROS_PER_SECOND
const RETRY_AFTER_S = 30

// Rows that wait for an earlier revision are due later: they hold nobody up.
const OLDEST_DUE: Statement = {
  name: 'oldest_due_of_metadata_outbox',
  text: `
select extract(epoch from now() - due_at)::float8 as seconds
  from metadata.outbox where due_at <= now() order by due_at limit 1`,
}

export type PressureOptions = {
  readonly db: Queryable
  /** Where the outbox is; null: nowhere. */
  readonly outboxDb: Queryable | null
  readonly clock: () => Instant
  readonly log: Log
}

/** Throws ServiceError `backpressure` while outbox or feed lag by more than five minutes. */
export function createPressureCheck({ db, outboxDb, clock, log }: PressureOptions): () => Promise<void> {
  let measured: { readonly until: Instant; readonly lag: Promise<Lag> } | null = null
  const measure = async (): Promise<Lag> => {
    const [due] = outboxDb === null ? [] : await outboxDb.query<{ seconds: number }>(OLDEST_DUE)
    const { consumers, heldBackSeconds } = await feedLag(db)
    const slowest = Math.max(heldBackSeconds, ...consumers.map(({ seconds }) => seconds))
    const lag = { outboxSeconds: due?.seconds ?? 0, feedSeconds: slowest }
    if (isBehind(lag)) log.warn('metadata_backpressure', { outbox_s: lag.outboxSeconds, feed_s: lag.feedSeconds })
    return lag
  }
  return async () => {
    const now = clock()
    if (measured === null || now >= measured.until) measured = { until: now + MEASURED_FOR, lag: measure() }
    const current = measured
    const lag = await current.lag.catch((error: unknown) => {
      // Not remembered: whoever comes next asks again.
      if (measured === current) measured = null
      throw error
    })
    if (!isBehind(lag)) return
    const detail = `bus: expected what was written to be worked off within ${LAG_S_MAX} s, got older work that waits`
    throw new ServiceError('backpressure', detail, { headers: { 'Retry-After': String(RETRY_AFTER_S) } })
  }
}

type Lag = { readonly outboxSeconds: number; readonly feedSeconds: number }

function isBehind({ outboxSeconds, feedSeconds }: Lag): boolean {
  return outboxSeconds > LAG_S_MAX || feedSeconds > LAG_S_MAX
}
