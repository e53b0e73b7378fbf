import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MICROS_PER_DAY, parseInstant } from '../../shared/instant.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog } from '../../shared/log/log.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { collectPostgresCatalog } from '../../shared/metadata/producers/catalog-postgres.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, FAULTS, type FaultKind } from '../support/faulty-io.ts'

const MORNING = parseInstant('2026-01-05T02:00:00Z') ?? 0n
const AFTERNOON = MORNING + MICROS_PER_DAY / 2n

/** Of a table that lost a column over noon. */
const TOLD = [
  '2026-01-05T02 schema_snapshot',
  '2026-01-05T02 statistics_snapshot',
  '2026-01-05T14 catalog_diff',
  '2026-01-05T14 schema_snapshot',
  '2026-01-05T14 statistics_snapshot',
]

describe('a catalog run that is cut off', () => {
  const environment = useTestEnvironment()
  const log = createLog({ sink: () => undefined, level: 'info', secrets: [] })
  let sound: Database
  const open = (hook: IoHook) =>
    openDatabase(
      { connection: { kind: 'url', url: environment.databaseUrl }, connectionsMax: 2, applicationName: 'test' },
      hook,
    )
  beforeAll(() => {
    sound = open(withoutHook)
  })
  afterAll(() => sound.close())

  const run = (text: string) => sound.query({ name: `test ${sha256Hex(text).slice(0, 16)}`, text })
  const repositoryOf = (db: Database) => {
    const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    return openPostgresRepository({ store, environment: { tenant: 'ours' } })
  }
  const collect = (db: Database, schema: string, now: bigint) =>
    collectPostgresCatalog({ db, sourceId: 'shop', schema }, { now, repository: repositoryOf(db), log, atOnce: 1 })
  const told = async (schema: string): Promise<readonly string[]> => {
    const { records } = await repositoryOf(sound).query({ target: { sourceId: 'shop', schema, table: 't' } })
    return records.map(({ kind, effectiveAt }) => `${effectiveAt.slice(0, 13)} ${kind}`).sort()
  }

  /** What is told in the end, and how many operations the run had that was cut off. */
  const cut = async (schema: string, fault?: { readonly kind: FaultKind; readonly at: number }) => {
    await run(`create schema ${schema}`)
    await run(`create table ${schema}.t (id int primary key, x int, y int)`)
    await collect(sound, schema, MORNING)
    await run(`alter table ${schema}.t drop column x`)
    const io = createFaultyIo()
    const faulty = open(io.hook)
    io.arm(fault)
    await collect(faulty, schema, AFTERNOON).catch(() => undefined)
    await faulty.close()
    await collect(sound, schema, AFTERNOON)
    return { told: await told(schema), operations: io.operations.length }
  }

  test.each(FAULTS)('tells with the next run what it would have told, wherever it was cut: %s', async (kind) => {
    const { told: undisturbed, operations } = await cut(`whole_${kind}`)
    expect(undisturbed).toEqual(TOLD)
    expect(operations).toBeGreaterThan(10)
    for (let at = 0; at < operations; at++) {
      expect((await cut(`cut_${kind}_${at}`, { kind, at })).told, `operation ${at}`).toEqual(TOLD)
    }
  })
})
