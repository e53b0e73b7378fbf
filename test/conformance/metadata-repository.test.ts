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
import { type FeedPosition, readFeed } from '../../shared/metadata/feed/feed.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataEnvironment } from '../../shared/metadata/model/record.ts'
import { openMetadataDatabase } from '../../shared/metadata/postgres/metadata-database.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { openRemoteRepository } from '../../shared/metadata/remote/http-repository.ts'
import { rollupConsumer } from '../../shared/metadata/rollup/consumer.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { serveMetadata } from '../metadata/remote-bench.ts'
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
    rolledUp: () => rollUp(db),
  }
}

/** What the consumer of the feed does to all that is stored; nothing is compacted. */
async function rollUp(db: Database): Promise<void> {
  const account = { kind: 'connection-string', connectionString: 'UseDevelopmentStorage=true' } as const
  const files = openContainer({ account, container: 'metadata', hook: withoutHook })
  const consumer = rollupConsumer({ files, kinds })
  const signal = new AbortController().signal
  const [stored] = await db.query<{ count: number }>({
    name: 'test count',
    text: 'select count(*) from metadata.record',
  })
  let read = 0
  // A transaction of another test, in another database of the server, holds the feed back for a moment.
  for (let after: FeedPosition | null = null; read < (stored?.count ?? 0); ) {
    const { records, position, readAt } = await readFeed(db, { tenant: null, after, limit: 500 })
    await consumer.consume(records, { db, readAt, signal })
    read += records.length
    after = position
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

describeRepository({
  name: 'remote over HTTP',
  async open({ databaseUrl }) {
    const { url, token, db, close } = await serveMetadata(databaseUrl)
    const remote = async (environment: MetadataEnvironment) =>
      openRemoteRepository({ url, token: await token(environment), environment, backoffBaseMs: 5 })
    return { ours: await remote(ours), theirs: await remote(theirs), rolledUp: () => rollUp(db), close }
  },
})
