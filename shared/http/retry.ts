import { setTimeout as sleep } from 'node:timers/promises'
import { CancelledError, TransientError } from '../errors.ts'
import type { HttpAnswer, HttpClient } from './exchange.ts'
import { parseRetryAfterMs } from './retry-after.ts'

export type RetrySettings = {
  readonly triesMax: number
  readonly backoffBaseMs: number
  readonly backoffMaxMs: number
}

/** A provider that wants more is left to the caller: it can put the work down, while we hold its lease. */
const RETRY_AFTER_MS_MAX = 5_000

/**
 * Tries again what a short wait may mend: no whole answer, 408, and 5xx but 501. Never 429: throttling is shared by
 * all instances and belongs to the rate budget. The last try's answer or error is the result, whatever it is.
 * Each wait = max(Retry-After, full jitter over a doubling range).
 */
export function withRetry(next: HttpClient, { triesMax, backoffBaseMs, backoffMaxMs }: RetrySettings): HttpClient {
  return async (request, options) => {
    for (let tryNo = 1; ; tryNo++) {
      const outcome = await attempt(() => next(request, options))
      const waitMs = Math.random() * Math.min(backoffMaxMs, backoffBaseMs * 2 ** (tryNo - 1))
      const floorMs = outcome.ok ? retryFloorMs(outcome.answer) : 0
      if (tryNo >= triesMax || floorMs === undefined) {
        if (outcome.ok) return outcome.answer
        throw tryNo === 1 ? outcome.error : new TransientError(`${outcome.error.message} (try ${tryNo} of ${triesMax})`)
      }
      try {
        await sleep(Math.max(floorMs, waitMs), undefined, { signal: options.signal })
      } catch {
        throw new CancelledError(`${request.subject}: cancelled between two tries`)
      }
    }
  }
}

type Outcome =
  | { readonly ok: true; readonly answer: HttpAnswer }
  | { readonly ok: false; readonly error: TransientError }

async function attempt(run: () => Promise<HttpAnswer>): Promise<Outcome> {
  try {
    return { ok: true, answer: await run() }
  } catch (error) {
    if (error instanceof TransientError) return { ok: false, error }
    throw error
  }
}

/** How long to wait at least before the next try; undefined where there shall be none. */
function retryFloorMs({ status, headers }: HttpAnswer): number | undefined {
  if (status !== 408 && (status < 500 || status === 501)) return undefined
  const retryAfterMs = parseRetryAfterMs(headers) ?? 0
  return retryAfterMs <= RETRY_AFTER_MS_MAX ? retryAfterMs : undefined
}
