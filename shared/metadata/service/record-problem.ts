import type { RecordProblem } from '../model/problem.ts'
import { PROBLEMS, ServiceError, type ServiceProblemCode } from './problems.ts'

// A name in a record that was sent is its content, and no address that was not found.
const UNPROCESSABLE: readonly string[] = ['unknown-kind', 'unknown-kind-version']

/** What a store has against a record, as the answer to who sent it. */
export function recordError({ code, detail, errors }: RecordProblem, recordId?: string): ServiceError {
  const details = {
    detail,
    ...(errors.length > 0 && { errors: [...errors] }),
    ...(recordId !== undefined && { recordId }),
  }
  // What PostgreSQL says is for the log: it may quote what no caller wrote.
  const told =
    code === 'refused-by-store' ? { ...details, detail: 'record: expected data that can be stored' } : details
  return new ServiceError(code, told, { status: recordStatus(code) })
}

export function recordStatus(code: ServiceProblemCode): number {
  return UNPROCESSABLE.includes(code) ? 422 : PROBLEMS[code].status
}
