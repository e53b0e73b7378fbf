import { withoutHook } from '../../shared/io-hook.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataEnvironment } from '../../shared/metadata/model/record.ts'
import { openMetadataDatabase } from '../../shared/metadata/postgres/metadata-database.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { describeRepository } from './metadata-repository.ts'

const ours: MetadataEnvironment = { workspace: 'test', tenant: 'ours' }
const theirs: MetadataEnvironment = { workspace: 'test', tenant: 'theirs' }

const open = (url: string) =>
  openDatabase({ connection: { kind: 'url', url }, connectionsMax: 2, applicationName: 'test' }, withoutHook)

function repositories(db: Database) {
  const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
  return {
    ours: openPostgresRepository({ store, environment: ours }),
    theirs: openPostgresRepository({ store, environment: theirs }),
  }
}

describeRepository({
  name: 'in the database of the producers',
  async open({ databaseUrl }) {
    const db = open(databaseUrl)
    return { ...repositories(db), close: () => db.close() }
  },
})

describeRepository({
  name: 'in the database that METADATA_DATABASE_URL names',
  async open({ databaseUrl, newDatabase }) {
    const own = open(databaseUrl)
    const metadata = openMetadataDatabase({ kind: 'url', url: await newDatabase() }, own)
    await own.close()
    return { ...repositories(metadata.db), close: metadata.close }
  },
})
