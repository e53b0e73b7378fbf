import { errorSummary } from '../../error-summary.ts'
import {
  AuthError,
  CancelledError,
  ConfigError,
  ContractError,
  DatabaseUnavailableError,
  LeaseLostError,
  OutdatedError,
  PermanentError,
  ThrottledError,
  toError,
} from '../../errors.ts'
import { ENDED_INGEST, TELL_INGESTION } from '../../metadata/producers/ingestion.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { FileGoneError } from '../land/land-file.ts'
import type { Claim } from './claim.ts'
import { QuotaGoneError, splitWindow, WindowExpiredError, WindowTooLargeError } from './split.ts'
import { type Event, nextState } from './state-machine.ts'

/** What became of an ingest whose work threw. */
export type Settled = 'lease-lost' | 'given-back' | 'retry' | 'quarantined' | 'failed' | 'split' | 'cancelled'

const RETRY_S_MAX = 3600
const RETRY_S_BASE = 5

// Back to the last durable state, or into quarantine where it has been tried often enough for long enough.
// Full jitter, doubling, at most an hour apart; the sweep sends it again when it is due.
const RETRY: Statement = {
  name: 'retry_ingest',
  text: `
with done as (
  update provenance.source_ingest i
     set state = case when e.exhausted then ${nextState('i', 'quarantine')} else ${nextState('i', 'retry')} end,
         finished_at = case when e.exhausted then now() end,
         next_attempt_at = case when not e.exhausted then
           now() + make_interval(secs => random() * least(${RETRY_S_MAX}, ${RETRY_S_BASE} * power(2, least(i.attempts, 20)))) end,
         claimed_by = null, lease_expires_at = null, queued_at = null, error_class = $3::text, error_summary = $4::text
    from (select attempts >= $5::int and attempting_since <= now() - make_interval(secs => $6::int) as exhausted
            from provenance.source_ingest where source_ingest_id = $1::uuid) e
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and ${nextState('i', 'retry')} is not null
  returning ${ENDED_INGEST}
), told as (${TELL_INGESTION}
)
select state from done`,
}

// An attempt that does not count does not start the time after which a quarantine is due either.
const GIVE_BACK: Statement = {
  name: 'give_back_ingest',
  text: `
update provenance.source_ingest i
   set state = ${nextState('i', 'retry')}, attempts = greatest(i.attempts - 1, 0),
       attempting_since = case when i.attempts > 1 then i.attempting_since end,
       next_attempt_at = now() + make_interval(secs => $5::float8),
       claimed_by = null, lease_expires_at = null, queued_at = null, error_class = $3::text, error_summary = $4::text
 where i.source_ingest_id = $1::uuid and i.epoch = $2::int and ${nextState('i', 'retry')} is not null
returning i.state`,
}

const end = (event: Event): Statement => ({
  name: `${event}_ingest`,
  text: `
with done as (
  update provenance.source_ingest i
     set state = ${nextState('i', event)}, finished_at = now(), next_attempt_at = null,
         claimed_by = null, lease_expires_at = null, error_class = $3::text, error_summary = $4::text
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.state in ('landing', 'curating')
     and ${nextState('i', event)} is not null
  returning ${ENDED_INGEST}
), told as (${TELL_INGESTION}
)
select state from done`,
})
const FAIL = end('fail')
const QUARANTINE = end('quarantine')
const CANCEL = end('cancel')

const PAUSE_STREAM: Statement = {
  name: 'pause_stream',
  text: `
update ingest.stream set paused = true, paused_reason = $2::text, updated_at = now()
 where stream_id = $1::bigint and not paused`,
}

/** A worker older than the data leaves it to a newer one, which may be minutes away in a rolling deployment. */
const OUTDATED_WAIT_S = 60
/** A setting is mended by a person. */
const CONFIG_WAIT_S = 300

/**
 * Records in Postgres what an error means for the ingest: the message can then be acknowledged. Throws only where
 * Postgres does not answer; nothing is done about an ingest that is no longer ours.
 */
export async function settle(platform: Platform, claim: Claim, thrown: unknown): Promise<Settled> {
  const error = toError(thrown)
  const log = platform.log.with({ source_ingest_id: claim.sourceIngestId, epoch: claim.epoch, stream: claim.subject })
  // What Postgres cannot record it cannot settle: the lease runs out and the sweep takes over.
  if (error instanceof DatabaseUnavailableError) throw error
  if (error instanceof LeaseLostError) {
    log.info('lease_lost', { detail: error.message })
    return 'lease-lost'
  }
  const settled = await record(platform, claim, error)
  const level = settled === 'quarantined' || settled === 'failed' ? 'error' : settled === 'retry' ? 'warn' : 'info'
  log[level](`ingest_${settled.replace('-', '_')}`, {
    error_class: error.name,
    detail: error.message,
    error: error.cause,
  })
  return settled
}

async function record(platform: Platform, claim: Claim, error: Error): Promise<Settled> {
  const { db, settings } = platform
  const summary = errorSummary(error, settings.secrets)
  const values = [claim.sourceIngestId, claim.epoch, error.name, summary] as const
  const update = async (statement: Statement, settled: Settled, ...more: readonly unknown[]): Promise<Settled> => {
    const [row] = await db.query<{ state: string }>(statement, [...values, ...more])
    if (row === undefined) return 'lease-lost'
    return row.state === 'quarantined' ? 'quarantined' : settled
  }
  const giveBack = (waitS: number) => update(GIVE_BACK, 'given-back', waitS)
  const split = async () => (await db.transaction((tx) => splitWindow(tx, claim, summary))).length > 0

  if (error instanceof CancelledError) return giveBack(0)
  if (error instanceof QuotaGoneError && (await split())) return 'split'
  if (error instanceof ThrottledError) return giveBack(error.retryAfterMs / 1000)
  if (error instanceof OutdatedError) return giveBack(OUTDATED_WAIT_S)
  if (error instanceof ConfigError) return giveBack(CONFIG_WAIT_S)
  if (error instanceof AuthError) {
    const settled = await giveBack(0)
    // Given back first: who no longer holds the ingest has nothing to say about its stream.
    if (settled === 'given-back') await db.query(PAUSE_STREAM, [claim.streamId, `auth: ${summary}`])
    return settled
  }
  if (error instanceof WindowTooLargeError) {
    // One granule that is too large cannot be split: a person must look.
    return (await split()) ? 'split' : update(QUARANTINE, 'quarantined')
  }
  // What is there now is planned again, by the planner or by whoever lists the files.
  if (error instanceof WindowExpiredError || error instanceof FileGoneError) return update(CANCEL, 'cancelled')
  if (error instanceof ContractError) return update(QUARANTINE, 'quarantined')
  if (error instanceof PermanentError) return update(FAIL, 'failed')
  return update(RETRY, 'retry', settings.quarantineAttempts, settings.quarantineSeconds)
}
