import { z } from 'zod'
import { canonicalJson, type JsonValue, sample } from '../../json.ts'
import { sha256Hex } from '../../sha256.ts'
import { PAGE_LIMIT, PAGE_LIMIT_MAX, QueryError } from './repository.ts'

/**
 * Where a page ended, and of which request it was. Neither secret nor signed: whatever it says, every statement asks
 * for the tenant. Times are text with microseconds; a millisecond in it would repeat or skip records.
 */
const cursor = z.strictObject({ v: z.literal(1), of: z.string(), at: z.array(z.string().max(256)).min(1).max(6) })

// Six names of 256 characters, of at most three bytes each, in base64.
const CURSOR_CHARS_MAX = 8_000

export function writeCursor(request: JsonValue, position: readonly string[]): string {
  return Buffer.from(JSON.stringify({ v: 1, of: digestOf(request), at: position })).toString('base64url')
}

/** The position; null where there is no cursor. Throws QueryError. */
export function readCursor(text: string | undefined, request: JsonValue): readonly string[] | null {
  if (text === undefined) return null
  const parsed = cursor.safeParse(parse(text))
  if (!parsed.success)
    throw new QueryError('malformed-cursor', `cursor: expected one that a page named, got ${sample(text, 40)}`)
  if (parsed.data.of !== digestOf(request)) {
    throw new QueryError('cursor-mismatch', 'cursor: expected the request that it came from, got another')
  }
  return parsed.data.at
}

/** Throws QueryError. */
export function pageLimit(limit: number = PAGE_LIMIT): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_LIMIT_MAX) return limit
  throw new QueryError('invalid-query', `limit: expected a whole number from 1 to ${PAGE_LIMIT_MAX}, got ${limit}`)
}

function parse(text: string): unknown {
  if (text.length > CURSOR_CHARS_MAX) return undefined
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}

function digestOf(request: JsonValue): string {
  return sha256Hex(canonicalJson(request)).slice(0, 16)
}
