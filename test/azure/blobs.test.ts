import { beforeAll, describe, expect, test } from 'vitest'
import { APPEND_BYTES_MAX, type BlobContainer, openContainer } from '../../shared/azure/blobs.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'

describe('an append blob', () => {
  const environment = useTestEnvironment()
  let container: BlobContainer
  beforeAll(async () => {
    const connectionString = environment.storageConnectionString
    const account = { kind: 'connection-string', connectionString } as const
    container = openContainer({ account, container: 'metadata', hook: withoutHook })
    await container.ensure()
  })
  const text = async (path: string) => Buffer.from((await container.get(path))?.body ?? []).toString()
  const bytes = (of: string) => Buffer.from(of)

  test.each([null, 0])('is made by the first append, at position %s', async (position) => {
    const path = `made/at-${position}`
    expect(await container.append(path, bytes('one'), { position })).toEqual({ appended: true, position: 3 })
    expect(await text(path)).toBe('one')
  })

  test('takes a block only at the position that is its end, so that a repetition does nothing', async () => {
    const path = 'positions'
    await container.append(path, bytes('one'), { position: 0 })
    expect(await container.append(path, bytes('one'), { position: 0 })).toEqual({ appended: false })
    expect(await container.append(path, bytes('two'), { position: 3 })).toEqual({ appended: true, position: 6 })
    expect(await container.append(path, bytes('two'), { position: 3 })).toEqual({ appended: false })
    expect(await container.append(path, bytes('far'), { position: 7 })).toEqual({ appended: false })
    expect(await text(path)).toBe('onetwo')
  })

  test('takes a block anywhere at its end where no position is named', async () => {
    for (const part of ['a', 'b']) await container.append('unnamed', bytes(part), { position: null })
    expect(await text('unnamed')).toBe('ab')
  })

  test('that is absent ends nowhere but at its beginning', async () => {
    expect(await container.append('absent', bytes('x'), { position: 5 })).toEqual({ appended: false })
    expect(await container.head('absent')).toBeNull()
  })

  test('of several writers at one position one has it', async () => {
    const results = await Promise.all(
      ['a', 'b', 'c', 'd'].map((part) => container.append('raced', bytes(part), { position: 0 })),
    )
    expect(results.filter(({ appended }) => appended)).toEqual([{ appended: true, position: 1 }])
    expect(await text('raced')).toHaveLength(1)
  })

  test('gives parts of itself, and nothing beyond its end', async () => {
    await container.append('parts', bytes('0123456789'), { position: 0 })
    const part = async (offset: number, bytesMax: number) =>
      Buffer.from((await container.range('parts', offset, bytesMax)) ?? []).toString()
    expect([await part(0, 3), await part(8, 5), await part(10, 5), await part(99, 5)]).toEqual(['012', '89', '', ''])
    expect(await container.range('nothing', 0, 1)).toBeNull()
  })

  test('is told where one append is larger than what the service takes', async () => {
    const large = new Uint8Array(APPEND_BYTES_MAX + 1)
    await expect(container.append('large', large, { position: null })).rejects.toThrow(
      'append to large: expected at most 4194304 bytes, got 4194305',
    )
  })

  test('is refused in the place of a blob of another type', async () => {
    const condition = { kind: 'absent' } as const
    await container.put('put', bytes('x'), { condition, contentType: 'text/plain', metadata: {} })
    await expect(container.append('put', bytes('y'), { position: null })).rejects.toThrow('append of blob metadata/put')
    expect(await text('put')).toBe('x')
  })
})
