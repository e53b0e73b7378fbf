import { closeAlert, openAlert } from '../ops/alerts.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import { signalsConsumer } from './consumers/signals.ts'
import { runConsumers } from './feed/consumer.ts'
import { feedLag } from './feed/feed.ts'
import type { MetadataStore } from './metadata.ts'
import { type Dispatched, dispatchAll } from './outbox/dispatch.ts'

/** Behind by more than this, people are told; writers over HTTP are asked to wait. */
export const METADATA_LAG_S_MAX = 300

const OUTBOX_AGE: Statement = {
  name: 'metadata_outbox_age',
  text: `
select coalesce(extract(epoch from now() - min(due_at)), 0)::float8 as seconds
  from metadata.outbox where due_at <= now()`,
}

/**
 * Moves what producers have told into the repository, and what was stored to those who follow the feed. Safe at any
 * number of places at once, and to be killed at any moment. Throws where the repository does not answer; what does not
 * get on is an alert.
 */
export async function moveMetadata(platform: Platform, stop: AbortSignal): Promise<Dispatched> {
  const { metadata, log } = platform
  try {
    const dispatched = await dispatchAll(metadata.dispatcher(log), { stop })
    const runs = metadata.store === null ? [] : await follow(platform, metadata.store, stop)
    const failed = runs.flatMap((run) => (run.state === 'failed' ? [run.consumer] : []))
    log.info('metadata_moved', { ...dispatched, consumers_failed: failed.join(' ') })
    return dispatched
  } finally {
    await reportLag(platform)
  }
}

function follow({ db, log }: Platform, store: MetadataStore, stop: AbortSignal) {
  const consumers = [...store.followers, signalsConsumer({ log, alerts: db })]
  return runConsumers(store.db, consumers, { log, stop })
}

async function reportLag({ db, metadata }: Platform): Promise<void> {
  const [outbox] = await db.query<{ seconds: number }>(OUTBOX_AGE)
  const lag = metadata.store === null ? null : await feedLag(metadata.store.db)
  const late: Record<string, number> = {}
  if (outbox !== undefined && outbox.seconds > METADATA_LAG_S_MAX) late.outbox = Math.round(outbox.seconds)
  if (lag !== null && lag.heldBackSeconds > METADATA_LAG_S_MAX) late.feed = Math.round(lag.heldBackSeconds)
  for (const { consumer, seconds } of lag?.consumers ?? []) {
    if (seconds > METADATA_LAG_S_MAX) late[consumer] = Math.round(seconds)
  }
  if (Object.keys(late).length === 0) return closeAlert(db, 'metadata_lag', 'metadata')
  await openAlert(db, { kind: 'metadata_lag', severity: 'warning', subject: 'metadata', detail: { seconds: late } })
}
