import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { afterAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { PermanentError } from '../../shared/errors.ts'
import { type Migration, migrate, readMigrations } from '../../shared/postgres/migrate.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { databaseUrlOf } from '../support/database-url.ts'

describe('migrations', () => {
  const { maintenanceUrl, databasePrefix } = inject('testServices')
  const made: string[] = []
  let url: string
  // Untouched, unlike the databases of other tests, which are clones of a migrated one.
  beforeEach(async () => {
    const name = `${databasePrefix}_untouched_${randomBytes(4).toString('hex')}`
    await queryOnce(maintenanceUrl, `create database ${name} template template0`)
    made.push(name)
    url = databaseUrlOf(maintenanceUrl, name)
  })
  afterAll(async () => {
    for (const name of made) await queryOnce(maintenanceUrl, `drop database ${name}`)
  })
  const run = (migrations?: readonly Migration[]) => migrate({ kind: 'url', url }, migrations)

  test('of this build run in order and once', async () => {
    const names = (await readMigrations()).map(({ name }) => name)
    expect(names[0]).toBe('000001-ingest.sql')
    expect(await run()).toEqual(names)
    expect(await run()).toEqual([])
    expect(await queryOnce(url, 'select name from ops.migration order by migration_id')).toEqual(
      names.map((name) => ({ name })),
    )
  })

  test('that several instances start at once run once', async () => {
    const all = await readMigrations()
    const ran = await Promise.all([run(), run(), run(), run()])
    expect(ran.flat().sort()).toEqual(all.map(({ name }) => name))
  })

  test('that were changed after they ran are refused, and nothing after them runs', async () => {
    await run([migration(1, 'select 1')])
    const changed = run([migration(1, 'select 2'), migration(2, 'create table never ()')])
    await expect(changed).rejects.toThrow(
      `migration 000001-test.sql: expected the text that ran as 000001-test.sql (sha256 ${sha256Hex('select 1')}), got ${sha256Hex('select 2')}; write a new migration instead`,
    )
    await expect(changed).rejects.toBeInstanceOf(PermanentError)
    expect(await queryOnce(url, `select to_regclass('never') as never`)).toEqual([{ never: null }])
  })

  test('that fail leave nothing behind, are not recorded, and run when mended', async () => {
    const wrong = migration(1, 'create table half (); select nothing')
    await expect(run([wrong])).rejects.toThrow('column "nothing" does not exist')
    expect(await queryOnce(url, `select to_regclass('half') as half`)).toEqual([{ half: null }])
    expect(await run([migration(1, 'create table half ()')])).toEqual(['000001-test.sql'])
  })

  test('that a newer build brings run alone', async () => {
    await run([migration(1, 'create table first ()')])
    expect(await run([migration(1, 'create table first ()'), migration(2, 'create table second ()')])).toEqual([
      '000002-test.sql',
    ])
  })
})

describe('the files of migrations', () => {
  test.each([
    [['000001-a.sql', '000003-c.sql'], 'migration 000003-c.sql: expected the number 2'],
    [['000001-a.sql', '000001-b.sql'], 'migration 000001-b.sql: expected the number 2'],
    [['1-a.sql'], 'migration 1-a.sql: expected the number 1'],
    [['000001_A.sql'], 'migration 000001_A.sql: expected the number 1'],
  ])('are numbered without a gap: %j is refused', async (names, problem) => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-migrations-'))
    for (const name of names) await writeFile(join(folder, name), 'select 1')
    await expect(readMigrations(pathToFileURL(`${folder}/`))).rejects.toThrow(problem)
    await rm(folder, { recursive: true })
  })
})

function migration(id: number, sql: string): Migration {
  return { id, name: `${String(id).padStart(6, '0')}-test.sql`, sql, sha256: sha256Hex(sql) }
}

async function queryOnce(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
