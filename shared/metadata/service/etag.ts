import type { HttpRequestLike } from './request.ts'

const ENTITY_TAG = /(?:W\/)?("[^"]*")/g

/** Whether `If-None-Match` names it; compared weakly (RFC 9110, 13.1.2). */
export function isCurrent({ headers }: HttpRequestLike, etag: string): boolean {
  const condition = headers.get('if-none-match')
  if (condition === null) return false
  if (condition.trim() === '*') return true
  const opaque = etag.replace(/^W\//, '')
  return [...condition.matchAll(ENTITY_TAG)].some(([, tag]) => tag === opaque)
}
