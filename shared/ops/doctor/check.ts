import { errorSummary } from '../../error-summary.ts'
import { toError } from '../../errors.ts'

export type CheckStatus = 'ok' | 'warn' | 'fail'

/** One thing that was looked at. */
export type Check = {
  /** Subject and what of it: `postgres: version`. */
  readonly name: string
  readonly status: CheckStatus
  readonly expected: string
  readonly got: string
  /** What a person does about it; null where it is well. */
  readonly todo: string | null
}

/** What is looked at, before it is known how it stands. */
export type Subject = { readonly name: string; readonly expected: string; readonly todo: string }

export type Finding = { readonly status: CheckStatus; readonly got: string }

export function checked({ name, expected, todo }: Subject, { status, got }: Finding): Check {
  return { name, status, expected, got, todo: status === 'ok' ? null : todo }
}

/** `look` says how it stands; what it throws is a failure with the error as what came. */
export async function look(subject: Subject, secrets: readonly string[], look: () => Promise<Finding>): Promise<Check> {
  try {
    return checked(subject, await look())
  } catch (error) {
    return checked(subject, { status: 'fail', got: errorSummary(toError(error), secrets).split('\n')[0] ?? '' })
  }
}

export const ok = (got: string): Finding => ({ status: 'ok', got })
export const warn = (got: string): Finding => ({ status: 'warn', got })
export const fail = (got: string): Finding => ({ status: 'fail', got })
