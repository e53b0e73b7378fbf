import type { z } from 'zod'
import { sample } from '../../json.ts'
import { readJson } from '../model/json-input.ts'
import { type FieldError, fieldErrors } from '../model/problem.ts'
import { ServiceError } from './problems.ts'

const EXTRAS = 'extras.'
const SAMPLE_MAX = 40

/** Parameters by name; `extras.lane=live` becomes a member of `extras`. Throws ServiceError for what comes twice. */
export function queryParameters(parameters: URLSearchParams): Readonly<Record<string, unknown>> {
  const given = new Map<string, unknown>()
  const extras = new Map<string, string>()
  for (const [name, value] of parameters) {
    const [into, key] = name.startsWith(EXTRAS) ? [extras, name.slice(EXTRAS.length)] : [given, name]
    if (into.has(key)) throw new ServiceError('invalid-query', `${sample(name, SAMPLE_MAX)}: expected once, got twice`)
    into.set(key, value)
  }
  if (extras.size > 0) given.set('extras', Object.fromEntries(extras))
  return Object.fromEntries(given)
}

/** Throws ServiceError `invalid-query` that names the first parameter that is wrong. */
export function parseParameters<Schema extends z.ZodType>(
  schema: Schema,
  given: Readonly<Record<string, unknown>>,
): z.output<Schema> {
  const json = readJson(given)
  if (!json.ok) throw new ServiceError('invalid-query', sentence(json.errors))
  const parsed = schema.safeParse(json.value)
  if (!parsed.success) throw new ServiceError('invalid-query', sentence(fieldErrors(parsed.error, [])))
  return parsed.data
}

/** Throws ServiceError `invalid-body` with a pointer to all that is wrong. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, given: unknown): z.output<Schema> {
  const json = readJson(given)
  if (!json.ok) throw invalidBody(json.errors)
  const parsed = schema.safeParse(json.value)
  if (!parsed.success) throw invalidBody(fieldErrors(parsed.error, []))
  return parsed.data
}

export function invalidBody(errors: readonly FieldError[]): ServiceError {
  return new ServiceError('invalid-body', { detail: `body ${sentence(errors)}`, errors: [...errors] })
}

function sentence(errors: readonly FieldError[]): string {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return sample(`${first?.pointer.slice(1) ?? ''}: ${first?.detail ?? 'invalid'}${more}`)
}
