import { createRedact } from './log/redact.ts'

const CHARS_MAX = 2_000

/** An error's message as PostgreSQL may keep it: no known secret, no NUL, no lone surrogate, not endless. */
export function errorSummary(error: Error, secrets: readonly string[]): string {
  const shown = String(createRedact(secrets)(error.message))
  return shown.replaceAll('\u0000', '\uFFFD').slice(0, CHARS_MAX).toWellFormed()
}
