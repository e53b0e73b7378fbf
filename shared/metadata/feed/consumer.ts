import { toError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Log } from '../../log/log.ts'
import type { Database } from '../../postgres/database.ts'
import { acquireConsumer, type ConsumerLease, moveConsumer, releaseConsumer } from './consumer-lease.ts'
import { type FedRecord, readFeed } from './feed.ts'

/** Follows the feed. */
export type FeedConsumer = {
  /** Stable: its cursor is kept under it. */
  readonly name: string
  /**
   * At least once, in feed order; may see a record again after a crash. Never at two places at once, but for one that
   * does not know yet that its lease was taken over: what it does then must do no harm.
   */
  readonly consume: (records: readonly FedRecord[], context: ConsumeContext) => Promise<void>
}

export type ConsumeContext = {
  /** The metadata database. */
  readonly db: Database
  /** When the page was read, by the database's clock. */
  readonly readAt: Instant
  /** Aborted when the lease has run out, or when all is to stop: begin nothing new. */
  readonly signal: AbortSignal
}

/**
 * done: all was read that could be · more: as many pages as were allowed · busy: somebody else is at it · lost: its lease
 * was taken over · stopped: as told
 */
export type ConsumerState = 'done' | 'more' | 'busy' | 'lost' | 'stopped' | 'failed'

export type ConsumerRun = {
  readonly consumer: string
  readonly state: ConsumerState
  /** Pages whose records were consumed, and the cursor moved behind them. */
  readonly pages: number
  readonly records: number
  readonly error?: Error
}

export type ConsumerOptions = {
  readonly log: Log
  /** Longer than a page takes; after a crash the consumer waits for as long. */
  readonly leaseSeconds?: number
  /** Records of one page. */
  readonly batchMax?: number
  /** Pages of one consumer in one run: the others have their turn. */
  readonly pagesMax?: number
  readonly stop?: AbortSignal
}

const LEASE_S = 120
const BATCH_MAX = 500
const PAGES_MAX = 200
const NEVER = new AbortController().signal

/**
 * Each consumer from where its cursor stands: a page, its work, then the cursor, where the epoch is still its own. One
 * after the other, because a page may hold many large records. One that throws stops alone, and its cursor stays.
 */
export async function runConsumers(
  db: Database,
  consumers: readonly FeedConsumer[],
  options: ConsumerOptions,
): Promise<readonly ConsumerRun[]> {
  const runs: ConsumerRun[] = []
  for (const consumer of consumers) runs.push(await runConsumer(db, consumer, options))
  return runs
}

async function runConsumer(db: Database, consumer: FeedConsumer, options: ConsumerOptions): Promise<ConsumerRun> {
  const { log, leaseSeconds = LEASE_S, stop = NEVER } = options
  const done = { pages: 0, records: 0 }
  const ended = (state: ConsumerState, error?: Error): ConsumerRun => ({
    consumer: consumer.name,
    state,
    ...done,
    ...(error && { error }),
  })
  if (stop.aborted) return ended('stopped')
  // From before the lease is taken: by the time that it has run out, this has.
  const signal = leaseSignal(stop, leaseSeconds)
  let lease: ConsumerLease | null = null
  let run: ConsumerRun
  try {
    lease = await acquireConsumer(db, consumer.name, leaseSeconds)
    if (lease === null) return ended('busy')
    run = ended(await consumePages({ db, consumer, lease, signal, done, options, stop, leaseSeconds }))
  } catch (error) {
    run = stop.aborted ? ended('stopped') : ended('failed', toError(error))
  }
  if (run.state === 'failed') log.error('metadata_consumer_failed', { ...run })
  if (run.state === 'lost') log.warn('metadata_consumer_lost', { ...run })
  // Who comes next need not wait; where this fails too the lease runs out by itself. One that was lost is not freed.
  if (lease !== null) await releaseConsumer(db, lease).catch(() => undefined)
  return run
}

type Pages = {
  readonly db: Database
  readonly consumer: FeedConsumer
  readonly lease: ConsumerLease
  readonly signal: AbortSignal
  readonly done: { pages: number; records: number }
  readonly options: ConsumerOptions
  readonly stop: AbortSignal
  readonly leaseSeconds: number
}

async function consumePages(given: Pages): Promise<ConsumerState> {
  const { db, consumer, done, options, stop, leaseSeconds } = given
  const { batchMax = BATCH_MAX, pagesMax = PAGES_MAX } = options
  let { lease, signal } = given
  while (done.pages < pagesMax) {
    if (stop.aborted) return 'stopped'
    const page = await readFeed(db, { tenant: null, after: lease.position, limit: batchMax })
    if (page.records.length === 0) return 'done'
    await consumer.consume(page.records, { db, readAt: page.readAt, signal })
    signal = leaseSignal(stop, leaseSeconds)
    const moved = await moveConsumer(db, lease, page.position, leaseSeconds)
    if (moved === null) return 'lost'
    lease = moved
    done.pages++
    done.records += page.records.length
    if (page.end) return 'done'
  }
  return 'more'
}

function leaseSignal(stop: AbortSignal, leaseSeconds: number): AbortSignal {
  return AbortSignal.any([stop, AbortSignal.timeout(leaseSeconds * 1_000)])
}
