import { setTimeout as sleep } from 'node:timers/promises'
import { ThrottledError, TransientError, toError } from '../../errors.ts'
import { parseRetryAfterMs } from '../../http/retry-after.ts'
import type { RemoteAnswer, RemoteRequest, Send } from './exchange.ts'
import { problemCode, problemOf } from './problem.ts'

export type AttemptPolicy = {
  readonly attemptsMax: number
  /** The first wait is drawn from [0, this), each further one from twice the range. */
  readonly backoffBaseMs: number
  /** Of one attempt. */
  readonly attemptMs: number
  /** Of all attempts and the waits between them. */
  readonly deadlineMs: number
}

export const ATTEMPTS_MAX = 5
export const BACKOFF_BASE_MS = 250
const BACKOFF_MS_MAX = 30_000
/** Who asks for more is not waited for: there is other work. */
const RETRY_AFTER_MS_MAX = 60_000

/**
 * The same bytes again where that may help: no whole answer, 408, 429, 5xx. Every other answer is the result. Throws
 * ThrottledError where the last answer was 429, or one asks for a longer wait than there is time for; TransientError
 * where the last attempt brought nothing else.
 */
export async function withAttempts(
  send: Send,
  request: RemoteRequest,
  policy: AttemptPolicy,
  stop?: AbortSignal,
): Promise<RemoteAnswer> {
  const endsAt = performance.now() + policy.deadlineMs
  for (let attempt = 1; ; attempt++) {
    const leftMs = endsAt - performance.now()
    const { answer, error } = await once(send, request, Math.min(policy.attemptMs, leftMs), stop)
    if (answer !== null && !isRetriable(answer.status)) return answer
    const failure = error ?? refusalOf(request, answer)
    if (attempt >= policy.attemptsMax || !(failure instanceof TransientError || failure instanceof ThrottledError)) {
      throw failure
    }
    const askedMs = (answer && parseRetryAfterMs(answer.headers)) ?? 0
    const waitMs = Math.max(askedMs, backoffMs(attempt, policy.backoffBaseMs))
    if (askedMs > RETRY_AFTER_MS_MAX || waitMs >= endsAt - performance.now()) throw failure
    await pause(waitMs, stop)
  }
}

/** Full jitter: those who failed together do not come again together. */
export function backoffMs(attempt: number, baseMs: number): number {
  return Math.random() * Math.min(BACKOFF_MS_MAX, baseMs * 2 ** (attempt - 1))
}

/** Rejects with the reason of the signal as soon as it is aborted. */
export async function pause(ms: number, stop: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, stop === undefined ? {} : { signal: stop })
  } catch {
    throw toError(stop?.reason)
  }
}

type Outcome =
  | { readonly answer: RemoteAnswer; readonly error: null }
  | { readonly answer: null; readonly error: Error }

/**
 * With a signal made by hand: on Node 20 one of `AbortSignal.any` over `AbortSignal.timeout` never fires once the
 * garbage collector has run.
 */
async function once(
  send: Send,
  request: RemoteRequest,
  timeoutMs: number,
  stop: AbortSignal | undefined,
): Promise<Outcome> {
  const controller = new AbortController()
  const onStop = () => controller.abort(toError(stop?.reason))
  if (stop?.aborted) onStop()
  stop?.addEventListener('abort', onStop, { once: true })
  const late = new TransientError(`${request.subject}: expected a whole answer in time, got none`)
  const timer = setTimeout(() => controller.abort(late), Math.max(0, timeoutMs))
  try {
    controller.signal.throwIfAborted()
    return { answer: await send(request, controller.signal), error: null }
  } catch (thrown) {
    if (stop?.aborted) throw toError(stop.reason)
    return { answer: null, error: toError(thrown) }
  } finally {
    clearTimeout(timer)
    stop?.removeEventListener('abort', onStop)
  }
}

function isRetriable(status: number): boolean {
  return status === 408 || status === 429 || status >= 500
}

function refusalOf({ subject }: RemoteRequest, answer: RemoteAnswer): Error {
  const told = problemOf(answer)
  const came = told === null ? `status ${answer.status}` : `${problemCode(told)}: ${told.detail}`
  const message = `${subject}: expected an answer, got ${came}`
  if (answer.status !== 429) return new TransientError(message)
  return new ThrottledError(message, { retryAfterMs: parseRetryAfterMs(answer.headers) ?? 0 })
}
