import { CONNECTIONS_MAX, type Platform } from '../../platform.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { readMigrations } from '../../postgres/migrate.ts'
import { type Check, type Finding, fail, look, ok, warn } from './check.ts'

const VERSION_MIN = 14
const VERSION_MAX = 18
/** A function app of the default size, and a job. */
const PROCESSES_EXPECTED = 21

const SERVER: Statement = {
  name: 'doctor_server',
  text: `select current_setting('server_version_num')::int / 10000 as version`,
}

// The smallest of what the server, the database and the role allow; -1 is without limit.
const CONNECTIONS: Statement = {
  name: 'doctor_connections',
  text: `
select least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
             nullif(d.datconnlimit, -1), nullif(r.rolconnlimit, -1)) as allowed
  from pg_database d, pg_roles r
 where d.datname = current_database() and r.rolname = current_user`,
}

const MIGRATED: Statement = {
  name: 'doctor_migrations',
  text: `select migration_id as id, name, sha256 from ops.migration order by migration_id`,
}

// Where a schema may not be used, none of its tables may.
const FORBIDDEN: Statement = {
  name: 'doctor_forbidden',
  text: `
select n.nspname || '.' || c.relname as "table", p.privilege
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  cross join (values ('select'), ('insert'), ('update')) p (privilege)
 where n.nspname in ('ingest', 'provenance', 'curated', 'ops') and c.relkind in ('r', 'p')
   and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, p.privilege))
   and not (n.nspname = 'ops' and c.relname = 'migration' and (p.privilege <> 'select'))
 order by 1, 2`,
}

const WRITE: Statement = {
  name: 'doctor_write',
  text: `insert into ops.pipeline_runs (run_id, job) values (gen_random_uuid(), 'doctor')`,
}

/** Is it there, is it one that we know, does it have our schema, and may we work in it. Leaves no row. */
export async function checkPostgres({ db, settings }: Platform): Promise<readonly Check[]> {
  const { secrets } = settings
  const server = await look(
    {
      name: 'postgres: version',
      expected: `a server of version ${VERSION_MIN} to ${VERSION_MAX} that answers`,
      todo: 'mend DATABASE_URL or PGHOST, the firewall, or the server',
    },
    secrets,
    async () => {
      const [row] = await db.query<{ version: number }>(SERVER)
      return versionFinding(row?.version ?? 0)
    },
  )
  // Each of the others would only wait for the same server again.
  if (server.status === 'fail' && !/^\d+$/.test(server.got)) return [server]
  return [
    server,
    await look(
      {
        name: 'postgres: migrations',
        expected: 'those of this build, unchanged',
        todo: 'run the migrate job (npm start migrates by itself); never change a migration that ran',
      },
      secrets,
      () => migrationFinding(db),
    ),
    await look(
      {
        name: 'postgres: permissions',
        expected: 'to select, insert and update in every table of ingest, provenance, curated and ops',
        todo: 'grant it to this role: the migrate job does; look whether the server is read-only (its storage full)',
      },
      secrets,
      () => permissionFinding(db),
    ),
    await look(
      {
        name: 'postgres: connections',
        expected: `room for ${PROCESSES_EXPECTED} processes of ${CONNECTIONS_MAX} connections`,
        todo: 'raise max_connections (a larger server), or the limit of the role or database, or start fewer instances',
      },
      secrets,
      () => connectionFinding(db),
    ),
  ]
}

export function versionFinding(version: number): Finding {
  const got = String(version)
  return version >= VERSION_MIN && version <= VERSION_MAX ? ok(got) : fail(got)
}

async function migrationFinding(db: Queryable): Promise<Finding> {
  const [wanted, ran] = [
    await readMigrations(),
    await db.query<{ id: number; name: string; sha256: string }>(MIGRATED).catch(() => []),
  ]
  const found = new Map(ran.map((migration) => [migration.id, migration]))
  const missing = wanted.filter(({ id }) => !found.has(id)).map(({ name }) => `${name} did not run`)
  const changed = wanted
    .filter(({ id, sha256 }) => found.has(id) && found.get(id)?.sha256 !== sha256)
    .map(({ name }) => `${name} ran with another text`)
  const problems = [...missing, ...changed]
  if (problems.length > 0) return fail(problems.join(', '))
  const newer = ran.filter(({ id }) => id > wanted.length).map(({ name }) => name)
  return newer.length > 0 ? warn(`newer ones too: ${newer.join(', ')}`) : ok(`${wanted.length} ran`)
}

async function permissionFinding(db: Database): Promise<Finding> {
  const forbidden = await db.query<{ table: string; privilege: string }>(FORBIDDEN)
  if (forbidden.length > 0)
    return fail(`no ${forbidden.map(({ table, privilege }) => `${privilege} in ${table}`).join(', ')}`)
  await rolledBack(db, (tx) => tx.query(WRITE))
  return ok('granted, and a row was written and rolled back')
}

const ROLL_BACK = new Error('rolled back on purpose')

async function rolledBack(db: Database, work: (tx: Queryable) => Promise<unknown>): Promise<void> {
  await db
    .transaction(async (tx) => {
      await work(tx)
      throw ROLL_BACK
    })
    .catch((error) => {
      if (error !== ROLL_BACK) throw error
    })
}

async function connectionFinding(db: Queryable): Promise<Finding> {
  const [row] = await db.query<{ allowed: number }>(CONNECTIONS)
  const allowed = row?.allowed ?? 0
  const processes = Math.floor(allowed / CONNECTIONS_MAX)
  const got = `${allowed} connections, for ${processes} processes`
  return processes >= PROCESSES_EXPECTED ? ok(got) : processes >= 1 ? warn(got) : fail(got)
}
