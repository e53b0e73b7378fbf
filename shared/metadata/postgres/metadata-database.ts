import type { DatabaseTarget } from '../../config/database-target.ts'
import { type IoHook, withoutHook } from '../../io-hook.ts'
import { databaseConnection } from '../../postgres/connection.ts'
import { type Database, openDatabase } from '../../postgres/database.ts'

const CONNECTIONS_MAX = 2

export type MetadataDatabase = {
  readonly db: Database
  /** Not the producers' own: their transactions do not reach it. */
  readonly elsewhere: boolean
  /** Closes what was opened for it; the producers' database stays open. */
  readonly close: () => Promise<void>
}

/** The database that was named for metadata, else the producers'. */
export function openMetadataDatabase(
  target: DatabaseTarget | null,
  own: Database,
  hook: IoHook = withoutHook,
): MetadataDatabase {
  if (target === null) return { db: own, elsewhere: false, close: async () => undefined }
  const db = openDatabase(
    {
      connection: databaseConnection(target),
      connectionsMax: CONNECTIONS_MAX,
      applicationName: 'tributary metadata',
    },
    hook,
  )
  return { db, elsewhere: true, close: () => db.close() }
}
