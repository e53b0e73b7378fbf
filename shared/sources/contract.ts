import { createHash } from 'node:crypto'
import type { z } from 'zod'
import type { Dataset } from '../datasets/contract.ts'
import type { RecordSink } from '../datasets/record-sink.ts'
import type { HttpAnswer, HttpRequest } from '../http/exchange.ts'
import type { Instant } from '../instant.ts'

/** Half-open range of time `[lo, hi)`. A provider with another rule is adapted in its source file. */
export type Window = { readonly lo: Instant; readonly hi: Instant }

/** One request, without secrets: what the fingerprint is taken of, and what logs and `explain` may show. */
export type ProviderRequest = {
  readonly method: 'GET'
  /** Below the source's base URL, with a leading slash; parts already percent-encoded. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
}

/** One answer. `body` is what came after transfer decoding, `headers` have lower-case names. */
export type ProviderAnswer = HttpAnswer

/** What one answer is. Only `page` goes on; each of the others has its error class in `../errors.ts`. */
export type PageVerdict =
  /** A good answer; `next` is the token of the following page, null on the last one. Empty is `records: 0`. */
  | { readonly kind: 'page'; readonly records: number; readonly next: string | null }
  /** Slow down. `retryAfterMs` null: the provider did not say for how long. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: number | null; readonly detail: string }
  | { readonly kind: 'auth'; readonly detail: string }
  /** Would work later: 5xx, 408, a body that was cut. */
  | { readonly kind: 'unavailable'; readonly detail: string }
  /** Not what this source says its answers are. */
  | { readonly kind: 'broken'; readonly detail: string }
  /** The provider will never answer this request: an unknown symbol, a bad parameter. */
  | { readonly kind: 'refused'; readonly detail: string }

/** What a source promises about its data, for one set of parameters. All in seconds. */
export type Consistency = {
  /** Windows begin and end at multiples of this. */
  readonly granularityS: number
  /** How long after an interval has ended its records may still change or be missing. A stream may set its own. */
  readonly settleLagS: number
  /** The largest window that is planned: chosen so that curating it fits the deadline and the memory. */
  readonly maxWindowS: number
  /** How far behind the newest published end the provider may still correct or add records: it is read again. 0: none. */
  readonly lookbackS: number
  /** What is older is gone at the provider; absent: it keeps everything. A stream may set its own, which a plan may buy. */
  readonly retentionS?: number
}

/**
 * Tokens of one credential at one provider, shared by every instance. Capacity + refill stay under the documented limit;
 * a capacity above one leaves the lane live something where a backfill would take every token as it comes.
 */
export type Budget = {
  readonly key: string
  readonly capacity: number
  readonly refillPerS: number
}

export type SourceSpec<Params> = {
  readonly id: string
  readonly dataset: Dataset
  readonly params: z.ZodType<Params>
  /** Grows with every change of `records`, of the dataset's contract or of its key. Never goes back. */
  readonly transformVersion: number
  /** Where the provider is unless the setting `<SOURCE>_BASE_URL` says otherwise. */
  readonly baseUrl: string
  /** Names of the settings that `authorize` needs. Without them the source's streams are not run. */
  readonly credentials: readonly string[]
  readonly budget: Budget
  /** More pages than this in one window: the window is too large. */
  readonly pagesMax: number
  readonly bodyBytesMax: number
  readonly consistency: (params: Params) => Consistency
  /** Names the stream in paths and state. */
  readonly subject: (params: Params) => string
  readonly timeframe?: (params: Params) => string
  readonly request: (params: Params, window: Window, token: string | null) => ProviderRequest
  readonly authorize: (request: ProviderRequest, credentials: Readonly<Record<string, string>>) => ProviderRequest
  /** Classifies the answer and finds the next token. Never parses rows, but sees whether they are what was asked for. */
  readonly page: (answer: ProviderAnswer, params: Params) => PageVerdict
  /** Pure: appends each record of a stored page to `into`, as a row or as a reject. No I/O, no clock. */
  readonly records: (body: Uint8Array, params: Params, into: RecordSink) => void
}

/** What every source is to the platform, wherever its bytes come from. */
type AnySource = Pick<SourceSpec<never>, 'id' | 'dataset' | 'transformVersion' | 'bodyBytesMax'>

/** A source that is asked over HTTP, as the platform sees it: what depends on a stream's parameters is behind `bind`. */
export type ProviderSource = AnySource &
  Pick<SourceSpec<never>, 'baseUrl' | 'credentials' | 'budget' | 'pagesMax' | 'authorize'> & {
    readonly kind: 'provider'
    /** Parses `params`; throws zod's error where they are not this source's. */
    readonly bind: (params: unknown) => BoundProvider
  }

/** A source whose bytes are files that somebody puts into the landing zone: each version of a file is one ingest. */
export type FileSource = AnySource & {
  readonly kind: 'files'
  readonly bind: (params: unknown) => BoundFiles
}

export type Source = ProviderSource | FileSource

/** A source with the parameters of one stream. */
export type BoundSource = {
  /** As parsed, with defaults filled in: what is stored with the stream and identifies it. */
  readonly params: unknown
  readonly subject: string
  readonly timeframe: string | undefined
  readonly records: (body: Uint8Array, into: RecordSink) => void
}

export type BoundProvider = BoundSource & {
  readonly consistency: Consistency
  readonly request: (window: Window, token: string | null) => ProviderRequest
  readonly page: (answer: ProviderAnswer) => PageVerdict
}

export type BoundFiles = BoundSource & {
  /** How many records the file holds, without parsing them; `broken` where it is no file of this source. */
  readonly count: (body: Uint8Array) => Extract<PageVerdict, { kind: 'broken' }> | { kind: 'file'; records: number }
}

export function defineSource<Params>(spec: SourceSpec<Params>): ProviderSource {
  return {
    ...spec,
    kind: 'provider',
    bind(input) {
      const params = spec.params.parse(input)
      return {
        params,
        subject: spec.subject(params),
        timeframe: spec.timeframe?.(params),
        consistency: spec.consistency(params),
        request: (window, token) => spec.request(params, window, token),
        page: (answer) => spec.page(answer, params),
        records: (body, into) => spec.records(body, params, into),
      }
    },
  }
}

/** SHA-256 of method, path and sorted query: the same request, whoever sent it and whenever. */
export function requestFingerprint(request: ProviderRequest): string {
  const query = Object.entries(request.query).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return createHash('sha256')
    .update(`${request.method} ${request.path}?${new URLSearchParams(query)}`)
    .digest('hex')
}

/**
 * The request as it goes over the wire. `authorized` is what `authorize` made of `request`; the subject, the only part
 * that a message, a hook or a log may show, is taken of `request`, which holds no secret.
 */
export function httpRequestOf(baseUrl: string, request: ProviderRequest, authorized: ProviderRequest): HttpRequest {
  return {
    url: urlOf(baseUrl, authorized),
    subject: urlOf(baseUrl, request),
    headers: authorized.headers ?? {},
  }
}

function urlOf(baseUrl: string, { path, query }: ProviderRequest): string {
  const search = new URLSearchParams(query).toString()
  return `${baseUrl}${path}${search === '' ? '' : `?${search}`}`
}
