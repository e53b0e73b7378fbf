import type { FieldError } from '../model/problem.ts'
import { BASE_PATH } from './request.ts'

type ProblemKind = { readonly status: number; readonly title: string; readonly retriable: boolean }

const never = (status: number, title: string): ProblemKind => ({ status, title, retriable: false })
const later = (status: number, title: string): ProblemKind => ({ status, title, retriable: true })

/**
 * Every reason for which the service does not do what it was asked. The code is the last part of the problem type; a
 * retriable one may go away without a change of the request.
 */
export const PROBLEMS = {
  unauthenticated: never(401, 'The request carries no token that this service knows.'),
  'token-expired': never(401, 'The token has expired.'),
  'permission-missing': never(403, 'The token lacks a permission; "missing" names it.'),
  'producer-not-allowed': never(403, 'The token may not write as this producer.'),
  'no-tenant': never(403, 'The identity is known and belongs to no tenant here.'),
  'wrong-tenant': never(403, 'The record says that it is of another tenant than the token.'),
  'rate-limited': later(429, 'Too many requests with this token or from this address.'),
  backpressure: later(429, 'Writes wait, because what was written before is not worked off yet. Reads are served.'),
  'invalid-query': never(400, 'A parameter is not what this route takes.'),
  'invalid-body': never(422, 'The body is JSON, and not what this route takes; "errors" says where.'),
  'malformed-cursor': never(400, 'The cursor is none that a page of this route named.'),
  'cursor-mismatch': never(400, 'The cursor is of another request: parameters must stay the same from page to page.'),
  'feed-ahead': never(400, 'The cursor is ahead of the feed.'),
  'feed-gone': never(410, 'The feed was restarted, or no longer holds what follows the cursor; go on from the log.'),
  'malformed-body': never(400, 'The body is not JSON text in UTF-8, or not of the encoding that it says.'),
  'unsupported-encoding': never(415, 'The body is encoded in another way than gzip.'),
  'unsupported-media-type': never(415, 'The body is said to be something else than JSON.'),
  'body-too-large': never(413, 'The body holds more than 1 MiB, counted unpacked.'),
  'batch-too-large': never(413, 'More than 500 items in one request.'),
  'record-schema-invalid': never(422, 'The record is not what the service and its kind take; "errors" says where.'),
  'record-too-large': never(413, 'The record holds more than 256 KiB.'),
  'unknown-kind': never(404, 'There is no such kind. Where a record was to be written the status is 422.'),
  'unknown-kind-version': never(404, 'There is no such version of the kind. Where one was to be written: 422.'),
  'produced-at-in-future': never(422, 'The record is more than five minutes ahead of the clock of the service.'),
  'idempotency-conflict': never(409, 'Something else is stored of this fact; "recordId" names it.'),
  'revision-gap': later(409, 'The revision before this one is not stored yet.'),
  'refused-by-store': never(422, 'The record looked right, and the database took it for no data of this table.'),
  'no-record': never(404, 'There is nothing of that name for this tenant.'),
  'no-token': never(404, 'There is no such token of this tenant.'),
  'token-ended': never(409, 'The token has expired, or was revoked or replaced before.'),
  'fingerprint-mismatch': never(409, 'The difference is another one now; "fingerprint" names it.'),
  'schema-invalid': never(422, 'The schema of the kind says something that registered schemas must not say.'),
  'schema-incompatible': never(409, 'The schema differs from earlier ones by more than this version may.'),
  'schema-immutable': never(409, 'The version is published, and with another schema.'),
  'kind-reserved': never(409, 'The kind comes with the platform.'),
  unavailable: later(503, 'Something that the service needs did not answer.'),
  internal: never(500, 'The service failed; the log says why under the id in "instance".'),
} as const satisfies Record<string, ProblemKind>

export type ServiceProblemCode = keyof typeof PROBLEMS

export const PROBLEM_TYPES: readonly ServiceProblemCode[] = Object.keys(PROBLEMS).filter(isProblemCode)

export function isProblemCode(code: string): code is ServiceProblemCode {
  return Object.hasOwn(PROBLEMS, code)
}

/** Members beyond those of RFC 9457. */
export type ProblemDetails = {
  readonly detail: string
  readonly errors?: FieldError[]
  /** A permission. */
  readonly missing?: string
  /** What is stored instead. */
  readonly recordId?: string
  /** Of the difference that a target has now. */
  readonly fingerprint?: string
  /** Of schemas. */
  readonly differences?: unknown[]
  /** Hour of the log to go on from; null: its beginning. */
  readonly log?: string | null
}

/** Ends a request. What is in it goes to the caller. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ServiceProblemCode
  readonly details: ProblemDetails
  /** Where it is not the one of the code. */
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ServiceProblemCode,
    details: ProblemDetails | string,
    more: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(typeof details === 'string' ? details : details.detail)
    this.code = code
    this.details = typeof details === 'string' ? { detail: details } : details
    this.status = more.status ?? PROBLEMS[code].status
    this.headers = more.headers ?? {}
  }
}

export type ProblemBody = ProblemDetails & {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly retriable: boolean
  readonly instance?: string
}

/** RFC 9457; `instance` where it is an answer of its own. */
export function problemBody({ code, status, details }: ServiceError, instance?: string): ProblemBody {
  const { title, retriable } = PROBLEMS[code]
  const { detail, ...more } = details
  return {
    type: `${BASE_PATH}/problems/${code}`,
    title,
    status,
    detail,
    ...(instance !== undefined && { instance }),
    retriable,
    ...more,
  }
}
