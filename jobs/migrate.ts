import pg from 'pg'
import { pino } from 'pino'
import { type DatabaseTarget, parseDatabaseTarget } from '../shared/config/database-target.ts'
import type { Environment } from '../shared/config/environment.ts'
import { ConfigError, toError } from '../shared/errors.ts'
import { createLog, type Log } from '../shared/log/log.ts'
import { databaseConnection } from '../shared/postgres/connection.ts'
import { connectionOptions, type DatabaseSettings } from '../shared/postgres/database.ts'
import { migrate } from '../shared/postgres/migrate.ts'
import { EXIT, type ExitCode } from './cli/exit-codes.ts'

/**
 * What the job `migrate` runs before the functions are replaced, as the administrator: makes the database, so that it
 * owns it, brings it to the newest schema, and lets the app's role in. Safe to repeat and to run twice at once. On a
 * PostgreSQL that knows no Entra (no pgaadauth functions) roles are a person's to make; one that is there gets its
 * grants.
 */
type MigrateSettings = {
  readonly database: DatabaseTarget
  readonly databaseName: string
  /** Where pgaadauth lives, and where databases are created from. */
  readonly maintenanceDatabase: string
  readonly principals: readonly Principal[]
}

type Principal = { readonly role: string; readonly principalId: string; readonly type: 'service' | 'group' }

/** Any constant other than that of the migrations: the whole job runs once at a time. */
const LOCK = 7282365

// As process 1 of a container Node has no default for SIGTERM. PostgreSQL takes back what was under way.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(EXIT.stopped))

process.exitCode = await main(process.env)

async function main(env: Environment): Promise<ExitCode> {
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ sync: true }))
  const log = createLog({ sink: (level, line) => logger[level](line), level: 'info', secrets: passwordsOf(env) })
  try {
    await run(parseMigrateSettings(env), log)
    return EXIT.done
  } catch (thrown) {
    const error = toError(thrown)
    if (!(error instanceof ConfigError)) {
      log.error('migrate_failed', { error })
      return EXIT.failed
    }
    for (const problem of error.problems) process.stderr.write(`${problem}\n`)
    return EXIT.usage
  }
}

async function run(settings: MigrateSettings, log: Log): Promise<void> {
  const { database, databaseName, maintenanceDatabase, principals } = settings
  await connected(databaseConnection(inDatabase(database, maintenanceDatabase)), async (server) => {
    // Held by the connection: whoever is killed lets it go.
    await server.query('select pg_advisory_lock($1)', [LOCK])
    const created = await createDatabase(server, databaseName)
    const migrations = await migrate(databaseConnection(database))
    log.info('migrated', { database: databaseName, created, migrations })
    for (const principal of principals) {
      const state = await ensurePrincipal(server, principal)
      const granted = await roleExists(server, principal.role)
      if (granted) await connected(databaseConnection(database), (client) => grant(client, principal.role))
      log.info('role_ready', { role: principal.role, state, granted })
    }
  })
}

/** Reports every problem of the settings together. */
function parseMigrateSettings(env: Environment): MigrateSettings {
  const problems: string[] = []
  const database = parseDatabaseTarget(env, (problem) => void problems.push(problem))
  const principals = [
    parsePrincipal(env.MIGRATE_APP_ROLE, env.MIGRATE_APP_PRINCIPAL_ID, 'MIGRATE_APP', 'service', problems),
    parsePrincipal(env.MIGRATE_OPERATOR_ROLE, env.MIGRATE_OPERATOR_PRINCIPAL_ID, 'MIGRATE_OPERATOR', 'group', problems),
  ].flat()
  const databaseName = database === undefined ? '' : nameOf(database)
  if (database !== undefined && databaseName === '') {
    problems.push('DATABASE_URL: expected the name of a database in its path, got none')
  }
  if (problems.length > 0 || database === undefined) throw new ConfigError(problems)
  const maintenanceDatabase = env.MIGRATE_MAINTENANCE_DATABASE || 'postgres'
  return { database, databaseName, maintenanceDatabase, principals }
}

function parsePrincipal(
  role: string | undefined,
  principalId: string | undefined,
  name: string,
  type: Principal['type'],
  problems: string[],
): readonly Principal[] {
  if (!role && !principalId) return []
  if (role && principalId && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(principalId)) {
    return [{ role, principalId: principalId.toLowerCase(), type }]
  }
  problems.push(
    `${name}_ROLE, ${name}_PRINCIPAL_ID: expected a name and an object id (uuid), got "${role ?? ''}" and "${principalId ?? ''}"`,
  )
  return []
}

function nameOf(target: DatabaseTarget): string {
  return target.kind === 'entra' ? target.database : decodeURIComponent(new URL(target.url).pathname.slice(1))
}

function inDatabase(target: DatabaseTarget, database: string): DatabaseTarget {
  if (target.kind === 'entra') return { ...target, database }
  const url = new URL(target.url)
  url.pathname = `/${encodeURIComponent(database)}`
  return { kind: 'url', url: url.href }
}

function passwordsOf({ DATABASE_URL: url = '' }: Environment): string[] {
  return URL.canParse(url) ? [new URL(url).password].filter((password) => password !== '') : []
}

async function connected<T>(
  connection: DatabaseSettings['connection'],
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ ...connectionOptions(connection), application_name: 'tributary migrate' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** False where it was there: by ARM, by a person, or by an earlier run. */
async function createDatabase(server: pg.Client, name: string): Promise<boolean> {
  const { rowCount } = await server.query('select from pg_database where datname = $1', [name])
  if (rowCount === 1) return false
  await server.query(`create database ${server.escapeIdentifier(name)}`)
  return true
}

/**
 * The role of a managed identity or a group. An identity that was deleted and made again has another object id under
 * the same name: its role is kept, with all it may do, and given the new one.
 */
async function ensurePrincipal(server: pg.Client, { role, principalId, type }: Principal): Promise<string> {
  const entra = await server.query(`select from pg_proc where proname = 'pgaadauth_create_principal_with_oid'`)
  if (entra.rowCount === 0) return 'no entra here'
  // By value, not by column: the names of the columns are documented nowhere.
  const principals = await server.query<Record<string, unknown>>('select * from pgaadauth_list_principals(false)')
  const known = principals.rows.find((row) => Object.values(row).includes(role))
  if (known === undefined) {
    await server.query('select * from pgaadauth_create_principal_with_oid($1, $2, $3, false, false)', [
      role,
      principalId,
      type,
    ])
    return 'created'
  }
  if (Object.values(known).some((value) => String(value).toLowerCase() === principalId)) return 'present'
  const label = server.escapeLiteral(`aadauth,oid=${principalId},type=${type}`)
  await server.query(`security label for "pgaadauth" on role ${server.escapeIdentifier(role)} is ${label}`)
  return 'given its new object id'
}

async function roleExists(server: pg.Client, role: string): Promise<boolean> {
  return (await server.query('select from pg_roles where rolname = $1', [role])).rowCount === 1
}

/**
 * Rows of every schema of ours, of tables to come too; no tables of its own. What says which migrations ran is only
 * read, and what says who did what is only added to.
 */
async function grant(client: pg.Client, name: string): Promise<void> {
  const role = client.escapeIdentifier(name)
  const schemas = await client.query<{ name: string }>(
    `select nspname as name from pg_namespace
      where nspowner = (select oid from pg_roles where rolname = current_user) and nspname !~ '^(pg_|information_schema$|public$)' order by nspname`,
  )
  await client.query('begin')
  for (const row of schemas.rows) {
    const schema = client.escapeIdentifier(row.name)
    const rows = 'select, insert, update, delete'
    await client.query(`grant usage on schema ${schema} to ${role}`)
    await client.query(`grant ${rows} on all tables in schema ${schema} to ${role}`)
    await client.query(`grant usage, select on all sequences in schema ${schema} to ${role}`)
    await client.query(`alter default privileges in schema ${schema} grant ${rows} on tables to ${role}`)
    await client.query(`alter default privileges in schema ${schema} grant usage, select on sequences to ${role}`)
  }
  await client.query(`revoke insert, update, delete on ops.migration from ${role}`)
  await client.query(`revoke update, delete on ops.audit from ${role}`)
  await client.query('commit')
}
