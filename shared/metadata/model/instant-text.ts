import { z } from 'zod'
import { formatInstant, type Instant, parseInstant } from '../../instant.ts'

const CHARS_MAX = 40
const EXPECTED = 'expected an RFC 3339 instant'

/** `2026-11-21T10:50:27.123456Z`: of fixed width, so that texts sort as the instants do and equal ones are equal. */
export function instantText(instant: Instant): string {
  const text = formatInstant(instant)
  return text.length === 20 ? `${text.slice(0, -1)}.000000Z` : text
}

/** RFC 3339 in any zone, as documented JSON Schema. */
export const instant = z
  .string()
  .max(CHARS_MAX)
  .refine((text) => parseInstant(text) !== undefined, EXPECTED)
  .meta({ format: 'date-time' })

/** The same, rewritten to fixed width in UTC. Parsed once: a record has three of them. */
export const normalInstant = z
  .string()
  .max(CHARS_MAX)
  .transform((text, context) => {
    const parsed = parseInstant(text)
    if (parsed !== undefined) return instantText(parsed)
    context.addIssue({ code: 'custom', message: EXPECTED })
    return z.NEVER
  })
