import { setTimeout as sleep } from 'node:timers/promises'
import { CancelledError, LeaseLostError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Claim } from './claim.ts'

const RENEW: Statement = {
  name: 'renew_lease',
  text: `
update provenance.source_ingest
   set lease_expires_at = now() + make_interval(secs => $3::int)
 where source_ingest_id = $1::uuid and epoch = $2::int and state in ('landing', 'curating')
returning source_ingest_id`,
}

export type Lease = {
  /**
   * Aborts when the lease is lost or not renewed in time (LeaseLostError), the caller stops (CancelledError) or the
   * deadline passes (its own error). One controller and plain timers: on Node 20 a signal that `AbortSignal.any` makes
   * of `AbortSignal.timeout` is collected before it fires.
   */
  readonly signal: AbortSignal
  readonly end: () => void
}

/**
 * Renews the lease of a claim at a third of its length. A worker that could not renew for two thirds stops itself:
 * it must be gone before another may take the ingest. Work shorter than a third costs no statement.
 */
export function holdLease(options: {
  readonly db: Queryable
  readonly claim: Claim
  readonly leaseSeconds: number
  readonly stop: AbortSignal
  readonly log: Log
  /** Ends the work by itself, with `late` as the reason. */
  readonly deadline?: { readonly afterMs: number; readonly late: Error }
}): Lease {
  const { db, claim, leaseSeconds, stop, log, deadline } = options
  const work = new AbortController()
  const ended = new AbortController()
  const lose = (why: string) =>
    work.abort(new LeaseLostError(`lease of ingest ${claim.sourceIngestId} epoch ${claim.epoch}: ${why}`))
  const onStop = () => work.abort(new CancelledError('the worker was told to stop'))
  if (stop.aborted) onStop()
  stop.addEventListener('abort', onStop, { once: true })

  const thirdMs = (leaseSeconds * 1000) / 3
  let watchdog: NodeJS.Timeout
  const watch = (sinceMs: number) => {
    clearTimeout(watchdog)
    const leftMs = sinceMs + 2 * thirdMs - performance.now()
    watchdog = setTimeout(() => lose('expected a renewal within two thirds, got none'), leftMs).unref()
  }
  const renew = async () => {
    while (!work.signal.aborted) {
      await sleep(thirdMs, undefined, { signal: ended.signal, ref: false })
      const startedMs = performance.now()
      try {
        const rows = await db.query(RENEW, [claim.sourceIngestId, claim.epoch, leaseSeconds])
        if (rows.length === 0) return lose('expected to be mine, another worker holds it or it is done')
        if (!ended.signal.aborted) watch(startedMs)
      } catch (error) {
        log.warn('lease_not_renewed', { source_ingest_id: claim.sourceIngestId, epoch: claim.epoch, error })
      }
    }
  }
  watch(performance.now())
  const deadlineTimer = deadline && setTimeout(() => work.abort(deadline.late), deadline.afterMs).unref()
  // Rejects only when `end` aborts the sleep.
  void renew().catch(() => ended.signal.aborted)

  return {
    signal: work.signal,
    end() {
      ended.abort()
      clearTimeout(watchdog)
      clearTimeout(deadlineTimer)
      stop.removeEventListener('abort', onStop)
    },
  }
}
