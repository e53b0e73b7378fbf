import type { z } from 'zod'

/**
 * Why a record is not stored. Codes are part of the interface: they become the problem types of the HTTP service.
 *
 * record-schema-invalid: not JSON that can be stored, not a record, or not what its kind says · revision-gap: the
 * revision before is not there yet · refused-by-store: it looked right and PostgreSQL took it for no data of this table
 */
export const PROBLEM_CODES = [
  'record-schema-invalid',
  'record-too-large',
  'unknown-kind',
  'unknown-kind-version',
  'produced-at-in-future',
  'wrong-tenant',
  'permission-missing',
  'producer-not-allowed',
  'idempotency-conflict',
  'revision-gap',
  'refused-by-store',
] as const
export type ProblemCode = (typeof PROBLEM_CODES)[number]

export type FieldError = {
  /** JSON pointer (RFC 6901) into the record. */
  readonly pointer: string
  readonly code: string
  readonly detail: string
}

export type RecordProblem = {
  readonly code: ProblemCode
  /** One sentence: what was expected and what came. */
  readonly detail: string
  readonly errors: readonly FieldError[]
  /** The same record may be stored later, without a change. */
  readonly retriable: boolean
}

export function problem(code: ProblemCode, detail: string, errors: readonly FieldError[] = []): RecordProblem {
  return { code, detail, errors, retriable: code === 'revision-gap' }
}

export function schemaInvalid(errors: readonly FieldError[]): RecordProblem {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return problem('record-schema-invalid', `record${first?.pointer ?? ''}: ${first?.detail ?? 'invalid'}${more}`, errors)
}

/** `['payload', 'a/b', 0]` is `/payload/a~1b/0`. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** What zod found, below `path`. */
export function fieldErrors(error: z.ZodError, path: readonly PropertyKey[]): FieldError[] {
  return error.issues.flatMap((issue): FieldError[] => {
    const at = [...path, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((name) => ({
        pointer: pointerOf([...at, name]),
        code: issue.code,
        detail: 'expected no such property',
      }))
    }
    const detail = issue.message.charAt(0).toLowerCase() + issue.message.slice(1)
    return [{ pointer: pointerOf(at), code: issue.code, detail }]
  })
}
