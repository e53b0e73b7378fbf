import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { PermanentError } from '../errors.ts'
import { connectionOptions, type DatabaseSettings } from './database.ts'

export type Migration = { readonly id: number; readonly name: string; readonly sql: string; readonly sha256: string }

const FOLDER = new URL('./migrations/', import.meta.url)

// Any constant: two instances that start at once migrate one after the other.
const LOCK = 'select pg_advisory_xact_lock(7282364)'

/** The numbered SQL files in order; their numbers must follow each other without a gap. */
export async function readMigrations(folder: URL = FOLDER): Promise<readonly Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
  const migrations: Migration[] = []
  for (const [index, name] of names.entries()) {
    const id = Number(/^(\d{6})-[a-z0-9-]+\.sql$/.exec(name)?.[1])
    if (id !== index + 1) throw new PermanentError(`migration ${name}: expected the number ${index + 1}`)
    const sql = await readFile(new URL(name, folder), 'utf8')
    migrations.push({ id, name, sql, sha256: createHash('sha256').update(sql).digest('hex') })
  }
  return migrations
}

/**
 * Brings the database to the newest schema, each migration in a transaction of its own that records it first. Safe to
 * repeat and to run twice at once. Forward only; a migration that was changed after it ran is refused.
 * Returns the names of those that ran now.
 */
export async function migrate(
  connection: DatabaseSettings['connection'],
  migrations?: readonly Migration[],
): Promise<readonly string[]> {
  const all = migrations ?? (await readMigrations())
  const client = new pg.Client(connectionOptions(connection))
  await client.connect()
  const ran: string[] = []
  try {
    for (const migration of all) {
      if (await migrateOne(client, migration)) ran.push(migration.name)
    }
  } finally {
    await client.end()
  }
  return ran
}

async function migrateOne(client: pg.Client, migration: Migration): Promise<boolean> {
  await client.query('begin')
  try {
    await client.query(LOCK)
    await client.query('create schema if not exists ops')
    await client.query(`create table if not exists ops.migration (
      migration_id int primary key, name text not null, sha256 text not null,
      migrated_at timestamptz not null default now())`)
    const inserted = await client.query(
      `insert into ops.migration (migration_id, name, sha256) values ($1, $2, $3) on conflict do nothing`,
      [migration.id, migration.name, migration.sha256],
    )
    if (inserted.rowCount === 1) await client.query(migration.sql)
    else await checkUnchanged(client, migration)
    await client.query('commit')
    return inserted.rowCount === 1
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

async function checkUnchanged(client: pg.Client, migration: Migration): Promise<void> {
  const { rows } = await client.query('select name, sha256 from ops.migration where migration_id = $1', [migration.id])
  if (rows[0]?.sha256 !== migration.sha256) {
    throw new PermanentError(
      `migration ${migration.name}: expected the text that ran as ${rows[0]?.name} (sha256 ${rows[0]?.sha256}), got ${migration.sha256}; write a new migration instead`,
    )
  }
}
