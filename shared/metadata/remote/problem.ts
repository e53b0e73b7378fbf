import { AuthError, ContractError } from '../../errors.ts'
import { sample } from '../../json.ts'
import { PROBLEM_CODES, type ProblemCode, type RecordProblem } from '../model/problem.ts'
import { QueryError, type StoreResult } from '../model/repository.ts'
import type { RemoteAnswer } from './exchange.ts'
import { type ProblemAnswer, problemAnswer, type StoreAnswer } from './wire.ts'

const QUERY_CODES = ['invalid-query', 'malformed-cursor', 'cursor-mismatch'] as const

/** Null where the answer is no problem document. */
export function problemOf({ body }: RemoteAnswer): ProblemAnswer | null {
  try {
    const parsed = problemAnswer.safeParse(JSON.parse(Buffer.from(body).toString('utf8')))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

export function problemCode({ type }: ProblemAnswer): string {
  return type.slice(type.lastIndexOf('/') + 1)
}

/** Of an answer that no route gives to what was asked rightly, and that no repetition changes. */
export function refusalError(subject: string, answer: RemoteAnswer): Error {
  const problem = problemOf(answer)
  const { status } = answer
  if (problem === null) {
    const what = sample(Buffer.from(answer.body.subarray(0, 400)).toString('utf8'), 100)
    const message = `${subject}: expected an answer of the metadata service, got status ${status}: ${what}`
    return status === 401 || status === 403 ? new AuthError(message) : new ContractError(message)
  }
  const code = problemCode(problem)
  const queryCode = QUERY_CODES.find((one) => one === code)
  if (queryCode !== undefined) return new QueryError(queryCode, problem.detail)
  const message = `${subject}: expected an answer, got ${code}: ${problem.detail}`
  return status === 401 || status === 403 ? new AuthError(message) : new ContractError(message)
}

/** 404 of a kind or a series that is not there, which is no error; every other 404 is of another server. */
export function isNothing(answer: RemoteAnswer): boolean {
  if (answer.status !== 404) return false
  const told = problemOf(answer)
  if (told !== null && ['no-record', 'unknown-kind'].includes(problemCode(told))) return true
  throw refusalError('metadata service', answer)
}

export function storeResult(answer: StoreAnswer): StoreResult {
  if (answer.outcome !== 'refused') return answer
  const { recordId } = answer.problem
  return { outcome: 'refused', problem: recordProblem(answer.problem), ...(recordId !== undefined && { recordId }) }
}

/** A code that only the service has, or a newer one, is told of in the detail. */
function recordProblem(given: ProblemAnswer): RecordProblem {
  const { detail, errors, retriable } = given
  const code = problemCode(given)
  const known = PROBLEM_CODES.find((one): one is ProblemCode => one === code)
  if (known !== undefined) return { code: known, detail, errors, retriable }
  return { code: 'refused-by-store', detail: `${code}: ${detail}`, errors, retriable }
}
