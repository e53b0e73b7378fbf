import { setTimeout as sleep } from 'node:timers/promises'
import type { SourceSettings } from '../../config/settings.ts'
import {
  AuthError,
  ConfigError,
  ContractError,
  LeaseLostError,
  PermanentError,
  ThrottledError,
  TransientError,
} from '../../errors.ts'
import type { HttpAnswer } from '../../http/exchange.ts'
import { formatInstant, type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Platform } from '../../platform.ts'
import { recordRawPage, storeRawPage } from '../../provenance/raw-page.ts'
import { rawPath } from '../../provenance/raw-path.ts'
import {
  type BoundProvider,
  httpRequestOf,
  type PageVerdict,
  type ProviderRequest,
  type ProviderSource,
  requestFingerprint,
  type Window,
} from '../../sources/contract.ts'
import { bindProvider } from '../state/bind-claim.ts'
import { type Claim, streamKeyOf } from '../state/claim.ts'
import { QuotaGoneError, WindowExpiredError, WindowTooLargeError } from '../state/split.ts'
import { markLanded } from './landed.ts'

/** Waiting in place is billed in a function: longer waits are for the database to remember. */
const THROTTLE_WAIT_MS_DEFAULT = 1_000

/** One window being fetched: what every page of its chain shares. */
type Fetch = {
  readonly platform: Platform
  readonly claim: Claim
  readonly source: ProviderSource
  readonly bound: BoundProvider
  readonly settings: SourceSettings
  readonly window: Window
  readonly signal: AbortSignal
  /** How long one wait for rate tokens may take in place, ms. */
  readonly waitMsMax: number
}

export type FetchOptions = { readonly signal: AbortSignal; readonly waitMsMax: number }

/**
 * Asks the provider for the window page by page, keeps every answer before it is read, and lands the window once the
 * chain is proven complete. Throws by what to do; the caller settles the ingest.
 */
export async function fetchWindow(
  platform: Platform,
  claim: Claim,
  { signal, waitMsMax }: FetchOptions,
): Promise<'landed' | 'empty'> {
  const { source, bound } = bindProvider(platform, claim)
  if (claim.lo === null || claim.hi === null) {
    throw new PermanentError(`ingest ${claim.sourceIngestId}: expected a window, got none`)
  }
  refuseExpired(claim, claim.lo)
  const settings = platform.sourceSettings(source)
  if (settings.missing.length > 0) {
    throw new ConfigError([`source ${source.id}: expected the settings ${settings.missing.join(', ')}, got none`])
  }
  const fetch: Fetch = {
    platform,
    claim,
    source,
    settings,
    signal,
    waitMsMax,
    bound,
    window: { lo: claim.lo, hi: claim.hi },
  }
  const asked = new Set<string>()
  let token: string | null = null
  for (let pageNo = 0; pageNo < source.pagesMax; pageNo++) {
    const next: string | null = await fetchPage(fetch, pageNo, token)
    if (next === null) return markLanded(platform.db, claim)
    if (asked.has(next)) {
      throw new ContractError(
        `page ${pageNo} of ingest ${claim.sourceIngestId}: expected another page token, got one that was asked with before`,
      )
    }
    asked.add(next)
    token = next
  }
  throw new WindowTooLargeError(
    `ingest ${claim.sourceIngestId}: expected at most ${source.pagesMax} pages, the provider has more`,
  )
}

/** An answer about time that is gone would be a complete one without records: nothing is asked. */
function refuseExpired({ sourceIngestId, claimedAt, retentionS }: Claim, lo: Instant): void {
  if (retentionS === null) return
  const keptFrom = claimedAt - BigInt(retentionS) * MICROS_PER_SECOND
  if (lo >= keptFrom) return
  throw new WindowExpiredError(
    `ingest ${sourceIngestId}: expected a window that begins at ${formatInstant(keptFrom)} or later, what the provider keeps, got ${formatInstant(lo)}`,
  )
}

/** Fetches, stores and records one page; returns the token of the next, null after the last. */
async function fetchPage(fetch: Fetch, pageNo: number, token: string | null): Promise<string | null> {
  const { platform, claim, bound, window } = fetch
  const request = bound.request(window, token)
  const answer = await askPatiently(fetch, request, pageNo)
  const observedAt = claim.claimedAt + BigInt(pageNo)
  const path = rawPath({ ...claim, at: window.lo, pageNo, ending: 'json' })
  const page = {
    sourceIngestId: claim.sourceIngestId,
    epoch: claim.epoch,
    pageNo,
    path,
    observedAt,
    requestFingerprint: requestFingerprint(request),
  }
  // Raw before parse: whatever the answer turns out to be, its bytes are kept.
  const stored = await storeRawPage(platform.raw, {
    ...page,
    of: window,
    body: answer.body,
    streamKey: streamKeyOf(claim),
  })
  const verdict = bound.page(answer)
  const good = verdict.kind === 'page' ? verdict : null
  if (verdict.kind === 'throttled') await blockBudget(fetch, verdict.retryAfterMs)
  const recorded = await recordRawPage(platform.db, {
    ...page,
    ...stored,
    recordCount: good?.records ?? null,
    httpStatus: answer.status,
    token,
    nextToken: good?.next ?? null,
    isLast: good !== null && good.next === null,
  })
  if (!recorded)
    throw new LeaseLostError(`page ${pageNo} of ingest ${claim.sourceIngestId}: epoch ${claim.epoch} is no longer mine`)
  fetch.signal.throwIfAborted()
  if (verdict.kind !== 'page') throw errorOf(verdict, `page ${pageNo} of ingest ${claim.sourceIngestId}`, pageNo)
  return verdict.next
}

/** One answer with a 2xx status. Waits in place while the quota or the provider asks for a short pause. */
async function askPatiently(fetch: Fetch, request: ProviderRequest, pageNo: number): Promise<HttpAnswer> {
  const { platform, claim, source, bound, settings, signal } = fetch
  let waitedMs = 0
  const pause = async (waitMs: number, why: string) => {
    if (waitedMs + waitMs > fetch.waitMsMax) {
      throw throttled(`page ${pageNo} of ingest ${claim.sourceIngestId}: ${why}`, pageNo, waitMs)
    }
    waitedMs += waitMs
    await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
  for (;;) {
    signal.throwIfAborted()
    const { waitMs } = await platform.budgets.reserve(platform.db, source.budget, claim.lane)
    if (waitMs > 0) {
      await pause(waitMs, `no token left in the budget ${source.budget.key} for ${waitMs} ms`)
      continue
    }
    const answer = await platform.http(
      httpRequestOf(settings.baseUrl, request, source.authorize(request, settings.credentials)),
      { signal, bodyBytesMax: source.bodyBytesMax },
    )
    if (answer.status >= 200 && answer.status < 300) return answer
    const verdict = bound.page(answer)
    const place = `page ${pageNo} of ingest ${claim.sourceIngestId}`
    if (verdict.kind === 'page') throw new ContractError(`${place}: expected status 2xx, got ${answer.status}`)
    if (verdict.kind !== 'throttled') throw errorOf(verdict, place, pageNo)
    const retryAfterMs = await blockBudget(fetch, verdict.retryAfterMs)
    await pause(
      retryAfterMs,
      `${source.id} said to slow down (${verdict.detail}), the next request may go in ${retryAfterMs} ms`,
    )
  }
}

/** Tells every instance that shares the quota; returns for how long, ms. */
async function blockBudget({ platform, source }: Fetch, retryAfterMs: number | null): Promise<number> {
  const forMs = retryAfterMs ?? THROTTLE_WAIT_MS_DEFAULT
  await platform.budgets.block(platform.db, source.budget, forMs)
  return forMs
}

/** Before its first page the ingest only waits; in the middle of its chain it would begin again. */
function throttled(message: string, pageNo: number, retryAfterMs: number): ThrottledError {
  return pageNo === 0 ? new ThrottledError(message, { retryAfterMs }) : new QuotaGoneError(message, { retryAfterMs })
}

function errorOf(verdict: Exclude<PageVerdict, { kind: 'page' }>, place: string, pageNo: number): Error {
  switch (verdict.kind) {
    case 'auth':
      return new AuthError(`${place}: ${verdict.detail}`)
    case 'unavailable':
      return new TransientError(`${place}: ${verdict.detail}`)
    case 'throttled':
      return throttled(`${place}: ${verdict.detail}`, pageNo, verdict.retryAfterMs ?? THROTTLE_WAIT_MS_DEFAULT)
    case 'refused':
      return new PermanentError(`${place}: ${verdict.detail}`)
    case 'broken':
      return new ContractError(`${place}: ${verdict.detail}`)
  }
}
