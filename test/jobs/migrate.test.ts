import { execFile, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { readMigrations } from '../../shared/postgres/migrate.ts'
import { databaseUrlOf } from '../support/database-url.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench } from '../support/workbench.ts'

const MIGRATE = fileURLToPath(new URL('../../dist/jobs/migrate.js', import.meta.url))
const run = promisify(execFile)

// What Azure's server has in its database `postgres`, as far as the job calls it.
const ENTRA = `
create table principal (rolname text primary key, principaltype text, objectid text);
create function pgaadauth_list_principals(boolean) returns setof principal language sql as 'select * from principal';
create function pgaadauth_create_principal_with_oid(role text, oid text, type text, admin boolean, mfa boolean)
  returns text language plpgsql as $$
begin
  execute format('create role %I login', role);
  insert into principal values (role, type, oid);
  return 'Created role for ' || role;
end $$`

describe('the job migrate', () => {
  const environment = useTestEnvironment()
  const { maintenanceUrl } = inject('testServices')
  const tag = randomBytes(4).toString('hex')
  // Azure's names have hyphens.
  const names = {
    administrator: `id-maintenance-${tag}`,
    app: `id-app-${tag}`,
    operators: `operators-${tag}`,
    database: `tributary-${tag}`,
  }
  const appId = randomUUID()
  const operatorsId = randomUUID()
  let entraUrl = ''
  let urlOf: (user: string) => string
  let asAzure: Record<string, string>

  beforeAll(async () => {
    entraUrl = await environment.newDatabase()
    await query(maintenanceUrl, `create role "${names.administrator}" login superuser password 'secret'`)
    urlOf = (user) => {
      const url = new URL(databaseUrlOf(maintenanceUrl, names.database))
      url.username = user
      url.password = 'secret'
      return url.href
    }
    asAzure = {
      DATABASE_URL: urlOf(names.administrator),
      MIGRATE_MAINTENANCE_DATABASE: new URL(entraUrl).pathname.slice(1),
      MIGRATE_APP_ROLE: names.app,
      MIGRATE_APP_PRINCIPAL_ID: appId,
      MIGRATE_OPERATOR_ROLE: names.operators,
      MIGRATE_OPERATOR_PRINCIPAL_ID: operatorsId,
    }
    await query(entraUrl, ENTRA)
  })
  afterAll(async () => {
    await query(maintenanceUrl, `drop database if exists "${names.database}"`)
    for (const role of [names.app, names.operators, names.administrator]) {
      await query(maintenanceUrl, `drop role if exists "${role}"`)
    }
  })

  test('makes the database, its schema and both roles, also when it runs three times at once', async () => {
    const lines = (await Promise.all([migrated(asAzure), migrated(asAzure), migrated(asAzure)])).flat()
    const all = (await readMigrations()).map(({ name }) => name)
    expect(lines.filter(({ created }) => created)).toMatchObject([{ event: 'migrated', database: names.database }])
    expect(lines.flatMap(({ migrations = [] }) => migrations)).toEqual(all)
    const states = lines.filter(({ event }) => event === 'role_ready').map(({ role, state }) => `${role} ${state}`)
    expect(states.sort()).toEqual(
      [names.app, names.operators].flatMap((name) => [`${name} created`, `${name} present`, `${name} present`]),
    )
    expect(await query(entraUrl, 'select * from principal order by 1')).toEqual([
      { rolname: names.app, principaltype: 'service', objectid: appId },
      { rolname: names.operators, principaltype: 'group', objectid: operatorsId },
    ])
  })

  test('the database belongs to the administrator', async () => {
    const owner = `select pg_get_userbyid(datdba) as owner from pg_database where datname = $1`
    expect(await query(maintenanceUrl, owner, [names.database])).toEqual([{ owner: names.administrator }])
  })

  test("the app's role does a whole ingest", async () => {
    await query(maintenanceUrl, `alter role "${names.app}" password 'secret'`)
    const { storageConnectionString } = environment
    const bench = await openWorkbench({ databaseUrl: urlOf(names.app), storageConnectionString })
    await bench.settle()
    const [rows] = await bench.query<{ rows: number }>('select sum(rows)::int as rows from curated.partition')
    await bench.close()
    expect(rows).toEqual({ rows: 500 })
  })

  test.each([
    ['makes no table', 'create table ingest.mine ()', 'permission denied for schema ingest'],
    ['makes no schema', 'create schema mine', 'permission denied for database'],
    ['empties no table', 'truncate provenance.raw_page', 'permission denied for table raw_page'],
    ['says nothing about migrations', 'delete from ops.migration', 'permission denied for table migration'],
    ['rewrites no audit', `update ops.audit set actor = 'someone else'`, 'permission denied for table audit'],
    ['removes no audit', 'delete from ops.audit', 'permission denied for table audit'],
  ])("the app's role %s", async (_title, sql, problem) => {
    await query(maintenanceUrl, `alter role "${names.app}" password 'secret'`)
    await expect(query(urlOf(names.app), sql)).rejects.toThrow(problem)
  })

  test('the tables of a later migration are open to the app too', async () => {
    await query(maintenanceUrl, `alter role "${names.app}" password 'secret'`)
    await query(urlOf(names.administrator), 'create table ingest.later (n int)')
    await query(urlOf(names.app), 'insert into ingest.later values (1)')
    expect(await query(urlOf(names.app), 'select n from ingest.later')).toEqual([{ n: 1 }])
    await query(urlOf(names.administrator), 'drop table ingest.later')
  })

  test('an identity that was made again gives its role the new object id', async () => {
    const again = migrated({ ...asAzure, MIGRATE_APP_PRINCIPAL_ID: randomUUID() })
    // Only Azure's server has the provider of that label: that far the statement is right.
    await expect(again).rejects.toThrow('security label provider \\"pgaadauth\\" is not loaded')
  })

  test('told to stop while another one is at work, it ends at once with 143', async () => {
    const holder = new pg.Client({ connectionString: entraUrl })
    await holder.connect()
    await holder.query('select pg_advisory_lock(7282365)')
    const child = spawn(process.execPath, [MIGRATE], { env: { PATH: process.env.PATH, ...asAzure }, stdio: 'ignore' })
    const ended = once(child, 'exit')
    const waiting = `select from pg_locks where locktype = 'advisory' and objid = 7282365 and not granted`
    while ((await holder.query(waiting)).rowCount === 0) await sleep(20)
    child.kill('SIGTERM')
    expect(await ended).toEqual([143, null])
    await holder.end()
  })

  test('on a PostgreSQL without Entra it migrates, makes no role, and says so', async () => {
    const url = await environment.newDatabase()
    const lines = await migrated({
      DATABASE_URL: url,
      MIGRATE_APP_ROLE: `nobody-${tag}`,
      MIGRATE_APP_PRINCIPAL_ID: randomUUID(),
    })
    expect(lines).toMatchObject([
      { event: 'migrated', created: false, migrations: [] },
      { event: 'role_ready', state: 'no entra here', granted: false },
    ])
  })

  test.each([
    [{}, 'DATABASE_URL: expected a postgres:// address, or PGHOST, PGDATABASE and PGUSER, got neither\n'],
    [
      { DATABASE_URL: 'postgres://me@db/x', MIGRATE_APP_ROLE: 'app', MIGRATE_OPERATOR_PRINCIPAL_ID: 'x' },
      'MIGRATE_APP_ROLE, MIGRATE_APP_PRINCIPAL_ID: expected a name and an object id (uuid), got "app" and ""\n' +
        'MIGRATE_OPERATOR_ROLE, MIGRATE_OPERATOR_PRINCIPAL_ID: expected a name and an object id (uuid), got "" and "x"\n',
    ],
    [{ DATABASE_URL: 'postgres://me@db' }, 'DATABASE_URL: expected the name of a database in its path, got none\n'],
  ])('with wrong settings it ends with 2 and names them all: %j', async (env, problems) => {
    await expect(migrated(env)).rejects.toMatchObject({ code: 2, stderr: problems })
  })

  test('a server that cannot be reached ends it with 1, without the password', async () => {
    const failed = migrated({ DATABASE_URL: 'postgres://me:not-to-be-seen@127.0.0.1:1/x' })
    await expect(failed).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('ECONNREFUSED') })
    await expect(failed).rejects.toMatchObject({ stdout: expect.not.stringContaining('not-to-be-seen') })
  })
})

type Line = Readonly<Record<string, unknown>> & { readonly migrations?: readonly string[] }

/** Runs the job as the container does; what it logged. */
async function migrated(env: Readonly<Record<string, string>>): Promise<readonly Line[]> {
  try {
    const { stdout } = await run(process.execPath, [MIGRATE], { env: { PATH: process.env.PATH, ...env } })
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line)
  } catch (error) {
    const { stdout = '' } = error as { stdout?: string }
    if (error instanceof Error) error.message += stdout
    throw error
  }
}

async function query(url: string, sql: string, values: readonly unknown[] = []): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql, [...values])).rows
  } finally {
    await client.end()
  }
}
