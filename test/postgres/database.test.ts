import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { DatabaseUnavailableError, PermanentError } from '../../shared/errors.ts'
import { type IoOperation, withoutHook } from '../../shared/io-hook.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

const one = { name: 'one', text: 'select 1 as one' }

describe('the database', () => {
  const environment = useTestEnvironment()
  let db: Database
  const open = (url = environment.databaseUrl, hook = withoutHook) =>
    openDatabase({ connection: { kind: 'url', url }, connectionsMax: 2, applicationName: 'test' }, hook)
  beforeAll(async () => {
    db = open()
    await db.query({ name: 'setup', text: 'create table note (id int primary key, text text)' })
  })
  afterAll(() => db.close())
  const notes = () => db.query<{ id: number }>({ name: 'notes', text: 'select id from note order by id' })
  const insert = { name: 'insert', text: `insert into note values ($1, 'x')` }
  const endConnections = () =>
    db.query({
      name: 'terminate',
      text: `select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()`,
    })

  test('a transaction commits what it did', async () => {
    const result = await db.transaction(async (tx) => {
      await tx.query(insert, [1])
      return 'done'
    })
    expect(result).toBe('done')
    expect(await notes()).toEqual([{ id: 1 }])
  })

  test('a transaction that throws leaves nothing behind and throws the same error', async () => {
    const error = new Error('no')
    const work = db.transaction(async (tx) => {
      await tx.query(insert, [2])
      throw error
    })
    await expect(work).rejects.toBe(error)
    expect(await notes()).toEqual([{ id: 1 }])
  })

  test('a statement that fails rolls its transaction back, and the connection is good again', async () => {
    const work = db.transaction(async (tx) => {
      await tx.query(insert, [3])
      await tx.query(insert, [1])
    })
    await expect(work).rejects.toThrow('statement insert: duplicate key value violates unique constraint "note_pkey"')
    expect(await notes()).toEqual([{ id: 1 }])
  })

  test('a statement that is wrong is no outage', async () => {
    const error = await failure(db.query({ name: 'wrong', text: 'select nothing' }))
    expect(error).not.toBeInstanceOf(DatabaseUnavailableError)
    expect(error.message).toBe('statement wrong: column "nothing" does not exist')
  })

  test('a server that cannot be reached is an outage, for a statement and for a transaction', async () => {
    const nowhere = open('postgres://me:s3cret@127.0.0.1:1/nowhere')
    const errors = [await failure(nowhere.query(one)), await failure(nowhere.transaction(async () => 1))]
    expect(errors.map(({ name }) => name)).toEqual(['DatabaseUnavailableError', 'DatabaseUnavailableError'])
    expect(errors[0]?.message).toBe('statement one: postgres did not answer (connect ECONNREFUSED 127.0.0.1:1)')
    await nowhere.close()
  })

  test.each([
    ['closes', (socket: Socket) => socket.destroy()],
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
    ['ends', (socket: Socket) => socket.end()],
  ])('a server that %s every connection is an outage', async (_how, drop) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      drop(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const broken = open(`postgres://me:x@127.0.0.1:${(server.address() as AddressInfo).port}/x`)
    expect(await failure(broken.query(one))).toBeInstanceOf(DatabaseUnavailableError)
    await broken.close()
  })

  test('a connection that ends between two statements of a transaction is an outage, and the process lives', async () => {
    const other = open()
    const work = other.transaction(async (tx) => {
      await tx.query(insert, [4])
      await endConnections()
      await tx.query(one)
    })
    expect(await failure(work)).toBeInstanceOf(DatabaseUnavailableError)
    expect(await other.query(one)).toEqual([{ one: 1 }])
    expect(await notes()).toEqual([{ id: 1 }])
    await other.close()
  })

  test('a connection that ends while a statement runs is an outage, and the next statement has a new one', async () => {
    const other = open()
    const sleeping = failure(other.query({ name: 'sleep', text: 'select pg_sleep(60)' }))
    const waiting = { name: 'waiting', text: `select 1 from pg_stat_activity where query = 'select pg_sleep(60)'` }
    while ((await db.query(waiting)).length === 0);
    await endConnections()
    expect(await sleeping).toBeInstanceOf(DatabaseUnavailableError)
    expect(await other.query(one)).toEqual([{ one: 1 }])
    await other.close()
  })

  test('a connection that ends while nobody uses it is not noticed', async () => {
    const other = open()
    await other.query(one)
    await endConnections()
    await expect.poll(() => other.query(one).catch(() => undefined)).toEqual([{ one: 1 }])
    await other.close()
  })

  test('every statement passes the hook under its name, begin and commit too', async () => {
    const seen: IoOperation[] = []
    const hooked = open(environment.databaseUrl, (operation, run) => {
      seen.push(operation)
      return run()
    })
    await hooked.transaction((tx) => tx.query(one))
    await hooked.close()
    expect(seen.map(({ client, action, subject }) => `${client} ${action} ${subject}`)).toEqual([
      'postgres query begin',
      'postgres query one',
      'postgres query commit',
    ])
  })

  test('a hook that fails the commit rolls back: nothing is half done', async () => {
    const hooked = open(environment.databaseUrl, async (operation, run) => {
      if (operation.subject === 'commit') throw new DatabaseUnavailableError('before the commit')
      return run()
    })
    await expect(hooked.transaction((tx) => tx.query(insert, [5]))).rejects.toThrow('before the commit')
    expect(await notes()).toEqual([{ id: 1 }])
    await hooked.close()
  })

  describe('values', () => {
    const value = async (sql: string, parameter?: unknown) => {
      const parameters = parameter === undefined ? [] : [parameter]
      const [row] = await db.query<{ value: unknown }>(named(`select ${sql} as value`), parameters)
      return row?.value
    }

    test.each([
      ['9007199254740991::int8', 9_007_199_254_740_991],
      ['(-9007199254740991)::int8', -9_007_199_254_740_991],
      ['count(*)', 1],
      ['null::int8', null],
    ])('int8 is an exact number: %s', async (sql, expected) => {
      expect(await value(sql)).toBe(expected)
    })

    test.each(['9007199254740992::int8', '(-9223372036854775808)::int8'])(
      'int8 that no number holds is refused, and is no outage: %s',
      async (sql) => {
        const error = await failure(value(sql))
        expect(error).toBeInstanceOf(PermanentError)
        expect(error.message).toMatch(/^int8: expected at most 2\^53, got -?\d+$/)
        expect(await db.query(one)).toEqual([{ one: 1 }])
      },
    )

    test.each([
      ['2026-11-21 10:50:27.123456+00', 1_795_258_227_123_456n],
      ['1969-12-31 23:59:59.999999+00', -1n],
      ['0001-01-01 00:00:00+00', -62_135_596_800_000_000n],
      ['9999-12-31 23:59:59.999999+00', 253_402_300_799_999_999n],
      ['2026-11-21 12:50:27+02', 1_795_258_227_000_000n],
    ])('timestamptz keeps its microseconds both ways: %s', async (text, micros) => {
      expect(await value(`'${text}'::timestamptz`)).toBe(micros)
      expect(await value('$1::timestamptz', micros)).toBe(micros)
      expect(await value(`$1::timestamptz = '${text}'`, micros)).toBe(true)
    })

    test.each(['infinity', '-infinity', '0044-03-15 BC'])(
      'timestamptz that is no instant of ours is refused: %s',
      async (text) => {
        await expect(value(`'${text}'::timestamptz`)).rejects.toThrow('timestamptz: expected an ISO instant, got')
      },
    )

    test.each([
      ['{}', []],
      ['{[2020-01-01,2020-01-02)}', [{ lo: 1_577_836_800_000_000n, hi: 1_577_923_200_000_000n }]],
      [
        '{[1969-12-31 23:59:59.999999+00,1970-01-01 00:00:00.000001+00),[2020-01-01,2020-01-02)}',
        [
          { lo: -1n, hi: 1n },
          { lo: 1_577_836_800_000_000n, hi: 1_577_923_200_000_000n },
        ],
      ],
    ])('tstzmultirange is a list of half-open ranges: %s', async (text, ranges) => {
      expect(await value(`'${text}'::tstzmultirange`)).toEqual(ranges)
    })

    test.each([
      '{[2020-01-01,)}',
      '{(,)}',
      '{(2020-01-01,2020-01-02]}',
      '{[2020-01-01,2020-01-02],[2021-01-01,2021-01-02)}',
    ])('tstzmultirange with another bound is refused: %s', async (text) => {
      await expect(value(`'${text}'::tstzmultirange`)).rejects.toThrow('multirange: expected half-open ranges, got {')
    })
  })
})

/** PostgreSQL keeps 63 characters of a statement's name. */
function named(text: string) {
  return { name: sha256Hex(text).slice(0, 16), text }
}

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work
  } catch (error) {
    return error as Error
  }
  throw new Error('expected a failure, got none')
}
