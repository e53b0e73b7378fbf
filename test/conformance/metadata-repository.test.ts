import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBlobLeases } from '../../shared/azure/blob-lease.ts'
import { openContainer } from '../../shared/azure/blobs.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { containerFiles } from '../../shared/metadata/embedded/container-files.ts'
import type { EmbeddedFiles } from '../../shared/metadata/embedded/files.ts'
import { folderFiles } from '../../shared/metadata/embedded/folder-files.ts'
import { openEmbeddedRepository } from '../../shared/metadata/embedded/repository.ts'
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

const kinds = fixedKinds(KINDS)

async function embedded(store: EmbeddedFiles) {
  const repositories = {
    ours: await openEmbeddedRepository({ store, environment: ours, kinds }),
    theirs: await openEmbeddedRepository({ store, environment: theirs, kinds }),
  }
  const close = async () => {
    await repositories.ours.close()
    await repositories.theirs.close()
  }
  return { ...repositories, close }
}

describeRepository({
  name: 'embedded in a folder',
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-embedded-'))
    const opened = await embedded(folderFiles(folder))
    const close = async () => {
      await opened.close()
      await rm(folder, { recursive: true })
    }
    return { ...opened, close }
  },
})

describeRepository({
  name: 'embedded in a blob container',
  async open({ storageConnectionString }) {
    const place = {
      account: { kind: 'connection-string', connectionString: storageConnectionString },
      container: 'metadata',
      hook: withoutHook,
    } as const
    const container = openContainer(place)
    await container.ensure()
    return embedded(containerFiles({ container, leases: openBlobLeases(place), name: 'metadata' }))
  },
})
