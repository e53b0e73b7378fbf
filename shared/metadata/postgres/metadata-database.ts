import { parseDatabaseTarget } from '../../config/database-target.ts'
import type { Environment } from '../../config/environment.ts'
import { ConfigError } from '../../errors.ts'
import { type IoHook, withoutHook } from '../../io-hook.ts'
import { databaseConnection } from '../../platform.ts'
import { type Database, openDatabase } from '../../postgres/database.ts'

const CONNECTIONS_MAX = 2

export type MetadataDatabase = {
  readonly db: Database
  /** Not the producers' own: their transactions do not reach it. */
  readonly elsewhere: boolean
  /** Closes what was opened for it; the producers' database stays open. */
  readonly close: () => Promise<void>
}

/** Where `METADATA_DATABASE_URL` says, else the producers' database. Throws ConfigError. */
export function openMetadataDatabase(env: Environment, own: Database, hook: IoHook = withoutHook): MetadataDatabase {
  const url = env.METADATA_DATABASE_URL
  if (!url) return { db: own, elsewhere: false, close: async () => undefined }
  const problems: string[] = []
  const report = (problem: string) => void problems.push(problem.replace('DATABASE_URL', 'METADATA_DATABASE_URL'))
  const target = parseDatabaseTarget({ DATABASE_URL: url }, report)
  if (target === undefined) throw new ConfigError(problems)
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
