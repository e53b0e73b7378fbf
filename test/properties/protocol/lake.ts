import { ContractError, ThrottledError } from '../../../shared/errors.ts'
import { WindowTooLargeError } from '../../../shared/ingest/state/split.ts'
import { assertReplaced } from './oracle.ts'
import { type Body, bodyOf, type Row } from './records.ts'
import { Violation } from './violation.ts'
import { type CuratedFile, ingestOf, listKey, type World } from './world.ts'

/** The provider and the two containers, as their clients answer. */

/**
 * Page n says what there is at the window's n-th granule and repeats the one before; the last page also holds the
 * record at the window's end, because this provider's windows are closed.
 */
export function askProvider(world: World, id: number, pageNo: number): Body {
  const ingest = ingestOf(world, id)
  const { values, mood } = world.provider
  world.provider.mood = 'well'
  if (mood === 'throttling') throw new ThrottledError('slow down', { retryAfterMs: 1 })
  if (mood === 'broken') throw new ContractError('html')
  if (mood === 'too large' && ingest.lo !== null) throw new WindowTooLargeError('page cap')
  if (ingest.file !== null) return ingest.file.body
  const { lo, hi } = ingest
  if (lo === null || hi === null) throw new Error(`ingest ${id}: expected a window, got none`)
  const isLast = lo + pageNo === hi - 1
  const granules = [...(pageNo > 0 ? [lo + pageNo - 1] : []), lo + pageNo, ...(isLast ? [hi] : [])]
  const records = granules.map((granule) => ({ granule, value: values[granule] ?? 0 })).filter(({ value }) => value > 0)
  return bodyOf(records, isLast)
}

/** `If-None-Match: *`; false where there is a blob already. */
export function putRaw(world: World, path: string, body: Body): boolean {
  const there = world.raw.get(path)
  if (there !== undefined && world.without !== 'an epoch has its own pages') return false
  if (there !== undefined && there.sha !== body.sha) throw new Violation('I4', `raw page ${path} is overwritten`)
  world.raw.set(path, body)
  return true
}

export type Put = Omit<CuratedFile, 'etag'> & {
  readonly partition: number
  /** What was read before; null: nothing was there. */
  readonly ifMatch: number | null
  readonly ingest: number
}

/** The new etag, or null for 412. */
export function putCurated(world: World, { partition, ifMatch, ingest, ...file }: Put): number | null {
  const found = world.curated[partition] ?? null
  if ((found?.etag ?? null) !== ifMatch && world.without !== 'if-match') return null
  world.etag++
  const replacement = { ...file, etag: world.etag }
  world.curated[partition] = replacement
  world.missing.delete(partition)
  assertReplaced(partition, found, replacement)
  rememberCounts(world, partition, ingest, file.rows)
  return world.etag
}

/** What a retry must repeat: the counts of the first PUT that brought rows of an ingest, while rows of it are there. */
function rememberCounts(world: World, partition: number, writer: number, rows: readonly Row[]): void {
  for (const { id } of world.postgres.ingests) {
    if (!rows.some(({ by }) => by === id)) world.firstCounts.delete(listKey(id, partition))
  }
  const key = listKey(writer, partition)
  const listed = world.postgres.listed.get(key)
  const isNew = !world.firstCounts.has(key) && rows.some(({ by }) => by === writer)
  // A file delivered twice with one change time has the same rows: whose they are cannot be seen.
  if (listed === undefined || !isNew || ingestOf(world, writer).file !== null) return
  world.firstCounts.set(key, { counts: listed.counts, transformVersion: listed.transformVersion })
}
