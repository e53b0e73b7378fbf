import { beforeAll, describe, expect, test } from 'vitest'
import { openTable, type Table } from '../../shared/azure/tables.ts'
import { TransientError } from '../../shared/errors.ts'
import { useTestEnvironment } from '../support/environment.ts'

describe('a table', () => {
  const environment = useTestEnvironment()
  let table: Table
  const open = (name: string, connectionString = environment.storageConnectionString) =>
    openTable({ account: { kind: 'connection-string', connectionString }, table: name })
  beforeAll(async () => {
    table = open('progress')
    await table.ensure()
  })

  test('gives back what was written, integers beyond 2^53 and instants too', async () => {
    const values = { name: 'é', share: 0.5, count: 9_007_199_254_740_993n, done: true, at: new Date(1_600_000_000_123) }
    await table.replace({ partitionKey: 'types', rowKey: 'one', values })
    expect(await table.rows('types', 10)).toEqual([{ partitionKey: 'types', rowKey: 'one', values }])
  })

  test('has one row per key: writing it again replaces it, columns and all', async () => {
    await table.replace({ partitionKey: 'again', rowKey: 'one', values: { a: 1, b: 2 } })
    await table.replace({ partitionKey: 'again', rowKey: 'one', values: { a: 3 } })
    expect((await table.rows('again', 10)).map(({ values }) => values)).toEqual([{ a: 3 }])
  })

  test('takes keys with characters that keys may not have', async () => {
    await table.replace({ partitionKey: "it's", rowKey: 'host/1\\2#3?\u0007', values: { a: 1 } })
    expect((await table.rows("it's", 10)).map(({ rowKey }) => rowKey)).toEqual(['host:1:2:3::'])
  })

  test('gives the rows of its partition and no more than asked for', async () => {
    for (const rowKey of ['a', 'b', 'c']) await table.replace({ partitionKey: 'many', rowKey, values: {} })
    await table.replace({ partitionKey: 'other', rowKey: 'a', values: {} })
    expect((await table.rows('many', 10)).map(({ rowKey }) => rowKey)).toEqual(['a', 'b', 'c'])
    expect((await table.rows('many', 2)).map(({ rowKey }) => rowKey)).toEqual(['a', 'b'])
  })

  test('that is absent has no rows and takes none', async () => {
    const absent = open('absent')
    expect(await absent.rows('any', 10)).toEqual([])
    await expect(absent.replace({ partitionKey: 'a', rowKey: 'a', values: {} })).rejects.toThrow(
      'replace of table absent: expected the storage to accept it, got 404',
    )
  })

  test('of a storage that does not answer throws what is worth another try', async () => {
    const gone = environment.storageConnectionString.replace(/(TableEndpoint=http:\/\/127\.0\.0\.1:)\d+/, '$19')
    await expect(open('progress', gone).rows('any', 1)).rejects.toBeInstanceOf(TransientError)
  })

  test('gives one row by its keys, and null where there is none', async () => {
    const values = { a: 1, at: new Date(5), big: 7n }
    await table.replace({ partitionKey: 'one', rowKey: "it's ~2F", values })
    const found = await table.get('one', "it's ~2F")
    expect(found?.row).toEqual({ partitionKey: 'one', rowKey: "it's ~2F", values })
    expect([await table.get('one', 'other'), await open('absent').get('one', 'other')]).toEqual([null, null])
  })

  test('takes a new row only where there is none, and another only in the place of the one that was seen', async () => {
    const row = (a: number) => ({ partitionKey: 'etags', rowKey: 'one', values: { a } })
    const valueNow = async () => (await table.get('etags', 'one'))?.row.values.a
    expect(await table.write(row(1), { kind: 'absent' })).toBe(true)
    expect(await table.write(row(2), { kind: 'absent' })).toBe(false)
    const etag = (await table.get('etags', 'one'))?.etag ?? ''
    expect(await table.write(row(3), { kind: 'unchanged', etag })).toBe(true)
    expect(await table.write(row(4), { kind: 'unchanged', etag })).toBe(false)
    expect(await valueNow()).toBe(3)
    const gone = { ...row(5), rowKey: 'never there' }
    expect(await table.write(gone, { kind: 'unchanged', etag })).toBe(false)
    await expect(open('absent').write(row(1), { kind: 'absent' })).rejects.toThrow('write of table absent')
  })

  test('passes each operation through the fault seam', async () => {
    const seen: unknown[] = []
    const account = { kind: 'connection-string', connectionString: environment.storageConnectionString } as const
    const watched = openTable({
      account,
      table: 'progress',
      hook: (operation, run) => {
        seen.push(operation)
        return run()
      },
    })
    await watched.replace({ partitionKey: 'p', rowKey: 'r', values: {} })
    await watched.rows('p', 1)
    expect(seen).toEqual([
      { client: 'table', action: 'replace', subject: 'progress/p/r' },
      { client: 'table', action: 'list', subject: 'progress/p' },
    ])
  })
})
