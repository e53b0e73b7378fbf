import pg from 'pg'
import { DatabaseUnavailableError, PermanentError, toError } from '../errors.ts'
import type { IoHook } from '../io-hook.ts'
import { toParameter, typeParsers } from './types.ts'

/** Where PostgreSQL is. With `password` a function, every new connection asks for a fresh one: Entra tokens expire. */
export type DatabaseSettings = {
  readonly connection:
    | { readonly kind: 'url'; readonly url: string }
    | {
        readonly kind: 'entra'
        readonly host: string
        readonly port: number
        readonly database: string
        readonly user: string
        readonly password: () => Promise<string>
        readonly tls: boolean
      }
  /** Connections of this process. Serverless: instances x this must fit the server's limit. */
  readonly connectionsMax: number
  readonly applicationName: string
}

/** One statement, written once and prepared under its name. bigint parameters are instants in µs. */
export type Statement = { readonly name: string; readonly text: string }

export type Queryable = {
  /** `Row` is the statement's own claim about its columns: instants are bigint µs, counts numbers. */
  readonly query: <Row>(statement: Statement, values?: readonly unknown[]) => Promise<Row[]>
}

export type Database = Queryable & {
  /** Runs `work` in one transaction; never hold it across HTTP or blob calls. */
  readonly transaction: <T>(work: (tx: Queryable) => Promise<T>) => Promise<T>
  readonly close: () => Promise<void>
}

const CONNECT_TIMEOUT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 60_000
// A connection that sleeps in a transaction holds locks: PostgreSQL ends it.
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000

export function openDatabase(settings: DatabaseSettings, hook: IoHook): Database {
  const pool = new pg.Pool({
    ...connectionOptions(settings.connection),
    max: settings.connectionsMax,
    application_name: settings.applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    // An idle pool must not keep a process that has nothing left to do.
    allowExitOnIdle: true,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    options: '-c TimeZone=UTC -c DateStyle=ISO',
    types: typeParsers,
  })
  // An idle connection that breaks is replaced by the pool; without a listener the event would end the process.
  pool.on('error', () => undefined)

  const query = async <Row>(client: pg.Pool | pg.PoolClient, statement: Statement, values: readonly unknown[] = []) =>
    hook({ client: 'postgres', action: 'query', subject: statement.name }, async () => {
      try {
        const result = await client.query({ ...statement, values: values.map(toParameter) })
        return result.rows as Row[]
      } catch (error) {
        throw translate(toError(error), statement.name)
      }
    })

  return {
    query: (statement, values) => query(pool, statement, values),
    async transaction(work) {
      const client = await pool.connect().catch((error) => {
        throw translate(toError(error), 'connect')
      })
      let broken: Error | undefined
      // A connection may end between two statements; the next one says so.
      const ignore = () => undefined
      client.on('error', ignore)
      try {
        await query(client, BEGIN)
        const result = await work({ query: (statement, values) => query(client, statement, values) })
        await query(client, COMMIT)
        return result
      } catch (error) {
        await query(client, ROLLBACK).catch((rollbackError) => {
          broken = toError(rollbackError)
        })
        throw error
      } finally {
        client.off('error', ignore)
        client.release(broken)
      }
    },
    close: () => pool.end(),
  }
}

const BEGIN = { name: 'begin', text: 'begin' }
const COMMIT = { name: 'commit', text: 'commit' }
const ROLLBACK = { name: 'rollback', text: 'rollback' }

export function connectionOptions(connection: DatabaseSettings['connection']): pg.PoolConfig {
  if (connection.kind === 'url') return { connectionString: connection.url }
  const { host, port, database, user, password, tls } = connection
  return { host, port, database, user, password, ssl: tls }
}

// SQLSTATE classes that say nothing about the statement: connection lost, server stopping or out of resources,
// serialization failure, deadlock. https://www.postgresql.org/docs/current/errcodes-appendix.html
const UNAVAILABLE = /^(08|53|57P|40001|40P01|25P03)/

function translate(error: Error, name: string): Error {
  if (error instanceof PermanentError) return error
  if (error instanceof pg.DatabaseError && error.code !== undefined && !UNAVAILABLE.test(error.code)) {
    return new Error(`statement ${name}: ${error.message}`, { cause: error })
  }
  return new DatabaseUnavailableError(`statement ${name}: postgres did not answer (${error.message})`, { cause: error })
}
