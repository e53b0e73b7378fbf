import { z } from 'zod'
import { ConfigError } from '../../errors.ts'
import type { Queryable } from '../../postgres/database.ts'
import { readIngests, type UnpublishedIngest } from './unpublished.ts'

/** The ingests that a person named, in that order. Throws ConfigError with every id that is none of this database. */
export async function selectIngests(db: Queryable, ids: readonly string[]): Promise<readonly UnpublishedIngest[]> {
  const notIds = ids.filter((id) => !z.uuid().safeParse(id).success)
  if (notIds.length > 0) {
    throw new ConfigError(notIds.map((id) => `ingest: expected an id such as status shows it, got "${id}"`))
  }
  const wanted = [...new Set(ids.map((id) => id.toLowerCase()))]
  const found = new Map((await readIngests(db, wanted)).map((ingest) => [ingest.sourceIngestId, ingest]))
  const unknown = wanted.filter((id) => !found.has(id))
  if (unknown.length > 0) {
    throw new ConfigError(unknown.map((id) => `ingest: expected one of this database, got ${id}`))
  }
  return wanted.flatMap((id) => found.get(id) ?? [])
}
