import { MICROS_PER_DAY } from '../../shared/instant.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { createLog } from '../../shared/log/log.ts'
import { createAuthenticator } from '../../shared/metadata/access/authenticate.ts'
import { createToken } from '../../shared/metadata/access/tokens.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { kindBook, openKindRegistry } from '../../shared/metadata/registry/registry.ts'
import { createMetadataService } from '../../shared/metadata/service/metadata-service.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { serveRoutes } from './service-host.ts'

export type ServedMetadata = {
  readonly url: string
  readonly token: (given: {
    readonly tenant: string
    readonly permissions?: readonly string[]
    readonly producers?: readonly string[]
  }) => Promise<string>
  readonly db: Database
  readonly close: () => Promise<void>
}

/** The service of a migrated database, on the loopback. */
export async function serveMetadata(databaseUrl: string): Promise<ServedMetadata> {
  const connection = { kind: 'url', url: databaseUrl } as const
  const db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, withoutHook)
  const registry = openKindRegistry({ db, builtin: KINDS })
  const kinds = kindBook(registry)
  const store = { db, names: createNameBook(), kinds }
  const clock = () => BigInt(Date.now()) * 1_000n
  const service = createMetadataService({
    db,
    outboxDb: db,
    repositoryOf: (tenant) => openPostgresRepository({ store, environment: { tenant } }),
    kinds,
    registry,
    authenticate: createAuthenticator({ db, clock, tokenEnvironment: 'test' }),
    tokenEnvironment: 'test',
    announce: async () => undefined,
    log: createLog({ sink: () => undefined, level: 'error', secrets: [] }),
    clock,
  })
  const served = await serveRoutes(service)
  return {
    url: served.url,
    async token({ tenant, permissions = ['records:write:*', 'records:read'], producers = ['*'] }) {
      const expiresAt = clock() + MICROS_PER_DAY
      return (await createToken(db, { tenant, permissions, producers, expiresAt, createdBy: 'test' }, 'test')).token
    },
    db,
    async close() {
      await served.close()
      await db.close()
    },
  }
}
