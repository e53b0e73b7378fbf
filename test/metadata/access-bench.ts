import { afterAll, beforeAll } from 'vitest'
import type { Instant } from '../../shared/instant.ts'
import { type IoHook, type IoOperation, withoutHook } from '../../shared/io-hook.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

export const SECOND = 1_000_000n
export const HOUR = 3_600n * SECOND

export type AccessBench = {
  readonly db: Database
  /** Names of the statements that were sent, without those of transactions. */
  readonly statements: string[]
  /** Another connection to the same database; close it. */
  readonly open: (hook: IoHook) => Database
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Of the authenticators; stands still. */
  now: Instant
  readonly clock: () => Instant
}

/** Call it at the top of a test file's describe. */
export function useAccess(): AccessBench {
  const environment = useTestEnvironment()
  const statements: string[] = []
  let main: Database | undefined
  let plain: Database | undefined
  const hook = <T>(operation: IoOperation, run: () => Promise<T>): Promise<T> => {
    statements.push(operation.subject)
    return run()
  }
  const open = (through: IoHook) => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    return openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, through)
  }
  beforeAll(() => {
    main = open(hook)
    plain = open(withoutHook)
  })
  afterAll(async () => {
    await main?.close()
    await plain?.close()
  })
  const bench = {
    get db() {
      return main as Database
    },
    statements,
    open,
    query: <Row>(text: string, values?: readonly unknown[]) =>
      (plain as Database).query<Row>({ name: `test ${sha256Hex(text).slice(0, 16)}`, text }, values),
    now: BigInt(Date.now()) * 1_000n,
    clock: () => bench.now,
  }
  return bench
}
