import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Instant, MICROS_PER_DAY, parseInstant } from '../../shared/instant.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataRecord } from '../../shared/metadata/model/record.ts'
import type { MetadataRepository } from '../../shared/metadata/model/repository.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { postgresTables } from '../../shared/metadata/producers/catalog/postgres-tables.ts'
import { collectPostgresCatalog, type PostgresCatalog } from '../../shared/metadata/producers/catalog-postgres.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

const MORNING = parseInstant('2026-01-05T02:00:00Z') ?? 0n
const HOUR = MICROS_PER_DAY / 24n
const NONE = { snapshots: 0, statistics: 0, differences: 0, suspect: 0, replayed: 0, failed: 0 }

describe('the catalog of a PostgreSQL schema', () => {
  const environment = useTestEnvironment()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'info', secrets: [] })
  let db: Database
  let repository: MetadataRepository
  let schema = ''
  let schemas = 0
  beforeAll(() => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, withoutHook)
    const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    repository = openPostgresRepository({ store, environment: { tenant: 'ours' } })
  })
  afterAll(() => db.close())
  beforeEach(async () => {
    logged.length = 0
    schema = `shop${++schemas}`
    await run(`create schema ${schema}`)
  })

  const run = (text: string) => db.query({ name: `test ${sha256Hex(text).slice(0, 16)}`, text })
  const collect = (now: Instant = MORNING, more: Partial<PostgresCatalog> = {}) =>
    collectPostgresCatalog({ db, sourceId: 'shop', schema, ...more }, { now, repository, log })
  const latest = async (table: string, kind = 'schema_snapshot'): Promise<MetadataRecord | undefined> =>
    (await repository.latest({ target: { sourceId: 'shop', schema, table }, kind }))?.record
  const changes = async (table: string) => (await latest(table, 'catalog_diff'))?.payload.changes

  test('tells every kind of column as the database spells it', async () => {
    await run(`create type ${schema}.mood as enum ('sad', 'it''s "ok"')`)
    await run(`create domain ${schema}.price as numeric(10, 2) not null check (value >= 0)`)
    await run(`create domain ${schema}.fee as ${schema}.price`)
    await run(`
      create table ${schema}.everything (
        id bigint generated always as identity,
        part int not null,
        code varchar(5) default 'x',
        name text collate "C" not null,
        nickname name,
        price ${schema}.price,
        fee ${schema}.fee,
        mood ${schema}.mood default 'sad',
        at timestamptz(3) default now(),
        local timestamp,
        tags text[],
        moods ${schema}.mood[],
        doc jsonb,
        total int generated always as (part * 2) stored,
        "Weird "" name" bool,
        primary key (id, part) include (code))`)
    await run(`alter table ${schema}.everything add column gone int`)
    await run(`alter table ${schema}.everything drop column gone`)
    await run(`comment on column ${schema}.everything.part is 'which part'`)
    expect(await collect()).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1 })
    const snapshot = await latest('everything')
    expect(snapshot?.payload.place).toBe('postgres')
    expect(snapshot?.payload.columns).toEqual([
      { name: 'id', type: 'bigint', nullable: false, key: true, default: 'generated always as identity' },
      { name: 'part', type: 'integer', nullable: false, key: true, comment: 'which part' },
      { name: 'code', type: 'character varying(5)', nullable: true, default: "'x'::character varying" },
      { name: 'name', type: 'text collate "C"', nullable: false },
      { name: 'nickname', type: 'name', nullable: true },
      { name: 'price', type: 'numeric(10,2)', nullable: false },
      { name: 'fee', type: 'numeric(10,2)', nullable: false },
      {
        name: 'mood',
        type: `enum ${schema}.mood ["sad", "it's \\"ok\\""]`,
        nullable: true,
        default: `'sad'::${schema}.mood`,
      },
      { name: 'at', type: 'timestamp(3) with time zone', nullable: true, default: 'now()' },
      { name: 'local', type: 'timestamp without time zone', nullable: true },
      { name: 'tags', type: 'text[]', nullable: true },
      { name: 'moods', type: `${schema}.mood[]`, nullable: true },
      { name: 'doc', type: 'jsonb', nullable: true },
      { name: 'total', type: 'integer', nullable: true, default: 'generated always as ((part * 2))' },
      { name: 'Weird " name', type: 'boolean', nullable: true },
    ])
  })

  test('tells the same, whatever the search path of the connection', async () => {
    await run(`create type ${schema}.mood as enum ('sad')`)
    await run(`create table ${schema}.t (mood ${schema}.mood default 'sad', list ${schema}.mood[])`)
    await collect()
    const here = openDatabase(
      {
        connection: { kind: 'url', url: `${environment.databaseUrl}?options=-c%20search_path%3D${schema}` },
        connectionsMax: 1,
        applicationName: 'test',
      },
      withoutHook,
    )
    try {
      expect(await collect(MORNING + HOUR, { db: here })).toEqual({ ...NONE, targets: 1 })
    } finally {
      await here.close()
    }
  })

  test('tells how much a table holds, by estimate', async () => {
    await run(`create table ${schema}.t (id int primary key, half int, few int)`)
    await run(
      `insert into ${schema}.t select g, case when g % 2 = 0 then g end, g % 10 from generate_series(1, 1000) g`,
    )
    await run(`analyze ${schema}.t`)
    await collect()
    const statistics = await latest('t', 'statistics_snapshot')
    expect(statistics).toMatchObject({
      quality: 'estimated',
      payload: {
        rows: 1000,
        files: 1,
        columns: [
          { name: 'id', nulls: 0, distinct: 1000 },
          { name: 'half', nulls: 500, distinct: 500 },
          { name: 'few', nulls: 0, distinct: 10 },
        ],
      },
    })
    expect(statistics?.payload.bytes).toBeGreaterThan(0)
  })

  test('a partitioned table is one target, with the rows of all its partitions', async () => {
    await run(`create table ${schema}.t (at int not null, x text) partition by range (at)`)
    await run(`create table ${schema}.t_1 partition of ${schema}.t for values from (0) to (10)`)
    await run(`create table ${schema}.t_2 partition of ${schema}.t for values from (10) to (20)`)
    await run(`insert into ${schema}.t select g, 'x' from generate_series(0, 19) g`)
    await run(`analyze ${schema}.t`)
    expect(await collect()).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1 })
    expect((await latest('t', 'statistics_snapshot'))?.payload).toMatchObject({
      rows: 20,
      files: 2,
      columns: [
        { name: 'at', distinct: 20 },
        { name: 'x', distinct: 1 },
      ],
    })
  })

  test('a view has columns and holds nothing', async () => {
    await run(`create view ${schema}.v as select 1 as one, 'a'::text as letter`)
    expect(await collect()).toEqual({ ...NONE, targets: 1, snapshots: 1 })
  })

  test('a column with another name is a rename, because its number says so', async () => {
    await run(`create table ${schema}.t (id int primary key, x text, y text)`)
    await collect()
    await run(`alter table ${schema}.t rename column x to z`)
    expect(await collect(MORNING + HOUR)).toMatchObject({ snapshots: 1, differences: 1 })
    expect(await changes('t')).toEqual([
      { change: 'column_renamed', column: 'x', before: 'x', after: 'z', severity: 'breaking' },
    ])
  })

  test('a column that was dropped beside a new one is no rename', async () => {
    await run(`create table ${schema}.t (id int primary key, x text, y text)`)
    await collect()
    await run(`alter table ${schema}.t drop column x, add column z text`)
    await collect(MORNING + HOUR)
    expect(await changes('t')).toMatchObject([
      { change: 'column_removed', column: 'x', severity: 'warning' },
      { change: 'column_added', column: 'z', severity: 'compatible' },
    ])
  })

  test('a table that is named and gone was dropped: told once, and once more when it is there again', async () => {
    const make = () => run(`create table ${schema}.t (id int primary key, x text)`)
    const tables = ['t']
    await make()
    await collect(MORNING, { tables })
    await run(`drop table ${schema}.t`)
    expect(await collect(MORNING + HOUR, { tables })).toEqual({ ...NONE, targets: 1, differences: 1 })
    expect(await changes('t')).toEqual([{ change: 'table_dropped', severity: 'breaking' }])
    expect(await collect(MORNING + MICROS_PER_DAY, { tables })).toEqual({ ...NONE, targets: 1 })
    await make()
    const again = await collect(MORNING + MICROS_PER_DAY + HOUR, { tables })
    expect(again).toEqual({ ...NONE, targets: 1, snapshots: 1, statistics: 1, differences: 1 })
    expect(await changes('t')).toMatchObject([
      { change: 'column_added', column: 'id', severity: 'compatible', reason: 'the table is there again' },
      { change: 'column_added', column: 'x', severity: 'compatible' },
    ])
  })

  test('a table that is there again with other columns is compared with what it was', async () => {
    await run(`create table ${schema}.t (id int primary key, x int)`)
    await collect(MORNING, { tables: ['t'] })
    await run(`drop table ${schema}.t`)
    await collect(MORNING + HOUR, { tables: ['t'] })
    await run(`create table ${schema}.t (id int primary key, x text)`)
    await collect(MORNING + 2n * HOUR, { tables: ['t'] })
    expect(await changes('t')).toMatchObject([{ change: 'type_changed', column: 'x', severity: 'breaking' }])
  })

  test('a table that nobody ever saw fails alone, with its name', async () => {
    await run(`create table ${schema}.t (id int)`)
    expect(await collect(MORNING, { tables: ['T', 't'] })).toMatchObject({ targets: 2, snapshots: 1, failed: 1 })
    expect(logged).toContainEqual(
      expect.objectContaining({
        target: `shop/${schema}/T`,
        error: expect.stringContaining(`target shop/${schema}/T: expected a table or an earlier snapshot of it`),
      }),
    )
  })

  test('a schema that is not there is an error, and nothing was dropped', async () => {
    await run(`create table ${schema}.t (id int)`)
    await collect(MORNING, { tables: ['t'] })
    await run(`drop schema ${schema} cascade`)
    await expect(collect(MORNING + HOUR, { tables: ['t'] })).rejects.toThrow(
      `schema ${schema}: expected it in the database, got none`,
    )
    expect(await latest('t', 'catalog_diff')).toBeUndefined()
  })

  test('an enum of more values than a type can spell shows what changed beyond that', async () => {
    const values = Array.from({ length: 300 }, (_, at) => `'value number ${at}'`)
    await run(`create type ${schema}.mood as enum (${values.join(', ')})`)
    await run(`create table ${schema}.t (id int primary key, a int, mood ${schema}.mood)`)
    await collect()
    await run(`alter type ${schema}.mood add value 'one more'`)
    expect(await collect(MORNING + HOUR)).toMatchObject({ snapshots: 1, differences: 1, failed: 0 })
    expect(await changes('t')).toMatchObject([{ change: 'enum_changed', column: 'mood', severity: 'warning' }])
  })

  test('a snapshot that is too large is refused every time, and what changed is told once', async () => {
    const comment = (column: string) => run(`comment on column ${schema}.t.${column} is '${'x'.repeat(8_000)}'`)
    const columns = Array.from({ length: 32 }, (_, at) => `c${at}`)
    await run(`create table ${schema}.t (${columns.map((name) => `${name} int`).join(', ')})`)
    for (const name of columns) await comment(name)
    expect(await collect()).toMatchObject({ snapshots: 1, failed: 0 })
    await run(`alter table ${schema}.t add column one_more int`)
    await comment('one_more')
    expect(await collect(MORNING + HOUR)).toMatchObject({ snapshots: 0, differences: 1, failed: 1 })
    expect(await collect(MORNING + 2n * HOUR)).toMatchObject({ snapshots: 0, differences: 0, failed: 1 })
  })

  test('pages end nowhere in between', async () => {
    const names = ['A', 'a', 'b_1', 'b-2', 'ä', 'Ω']
    for (const name of names) await run(`create table ${schema}."${name}" (id int)`)
    const found: string[] = []
    for await (const { table } of postgresTables(db, { schema }, 2)) found.push(table)
    expect([...found].sort()).toEqual([...names].sort())
  })
})
