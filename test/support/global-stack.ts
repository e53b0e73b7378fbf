import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { newAccountKey, startAzurite } from '../../jobs/local/stack/azurite.ts'
import { startPostgres } from '../../jobs/local/stack/postgres.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { databaseUrlOf } from './database-url.ts'
import { STORAGE_ACCOUNTS_MAX, storageAccountName } from './test-services.ts'

/** One PostgreSQL (or DATABASE_URL) and one Azurite for the whole run. Both end with this process, however it ends. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-test-'))
  // PostgreSQL may have to run as another user than root; what is secret lies in folders of its own.
  await chmod(folder, 0o755)
  const countersFolder = join(folder, 'counters')
  await mkdir(countersFolder)
  const storageKey = newAccountKey()
  const started = await Promise.allSettled([startDatabase(join(folder, 'postgres')), startStorage(folder, storageKey)])
  const [database, storage] = started
  const teardown = async () => {
    for (const server of started) if (server.status === 'fulfilled') await server.value.stop()
    await rm(folder, { recursive: true, force: true })
  }
  if (database.status === 'rejected' || storage.status === 'rejected') {
    await teardown()
    throw database.status === 'rejected' ? database.reason : storage.status === 'rejected' && storage.reason
  }
  const { maintenanceUrl, databasePrefix } = database.value
  const storagePorts = storage.value.ports
  project.provide('testServices', { maintenanceUrl, databasePrefix, storagePorts, storageKey, countersFolder })
  return teardown
}

function startStorage(folder: string, key: string) {
  const accounts = Array.from({ length: STORAGE_ACCOUNTS_MAX }, (_, index) => ({
    name: storageAccountName(index + 1),
    key,
  }))
  return startAzurite({ folder: join(folder, 'azurite'), accounts })
}

type TestDatabaseServer = {
  readonly maintenanceUrl: string
  readonly databasePrefix: string
  readonly stop: () => Promise<void>
}

async function startDatabase(folder: string): Promise<TestDatabaseServer> {
  const external = process.env.DATABASE_URL
  if (external !== undefined) {
    // Somebody else's server: another run may use it at the same time, and nothing of ours may stay.
    const databasePrefix = `tributary_${randomBytes(4).toString('hex')}`
    await makeTemplate(external, databasePrefix)
    return { maintenanceUrl: external, databasePrefix, stop: () => dropAll(external, databasePrefix) }
  }
  const postgres = await startPostgres({
    folder,
    durable: false,
    ...(process.env.TRIBUTARY_TEST_SHARED_BUFFERS && { sharedBuffers: process.env.TRIBUTARY_TEST_SHARED_BUFFERS }),
  })
  try {
    await makeTemplate(postgres.url('postgres'), 'tributary')
  } catch (error) {
    await postgres.stop()
    throw error
  }
  return { maintenanceUrl: postgres.url('postgres'), databasePrefix: 'tributary', stop: postgres.stop }
}

async function makeTemplate(maintenanceUrl: string, prefix: string): Promise<void> {
  const template = `${prefix}_template`
  await execute(maintenanceUrl, `create database ${template} template template0 encoding 'UTF8' locale 'C'`)
  await migrate({ kind: 'url', url: databaseUrlOf(maintenanceUrl, template) })
  // A database with a connection cannot be cloned.
  await execute(maintenanceUrl, `alter database ${template} with allow_connections false`)
}

/** The template, and the databases of tests that leaked a connection or were killed. */
async function dropAll(maintenanceUrl: string, prefix: string): Promise<void> {
  const databases = await execute(maintenanceUrl, `select datname from pg_database where datname like '${prefix}\\_%'`)
  for (const { datname } of databases) await execute(maintenanceUrl, `drop database ${datname} with (force)`)
}

async function execute(url: string, sql: string): Promise<readonly { readonly datname: string }[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ datname: string }>(sql)
    return rows
  } finally {
    await client.end()
  }
}
