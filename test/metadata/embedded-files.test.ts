import { beforeAll, describe, expect, test } from 'vitest'
import { openBlobLeases } from '../../shared/azure/blob-lease.ts'
import { openContainer } from '../../shared/azure/blobs.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { containerFiles } from '../../shared/metadata/embedded/container-files.ts'
import type { EmbeddedFiles } from '../../shared/metadata/embedded/files.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { useFolders } from './embedded-bench.ts'

const bytes = (text: string) => Buffer.from(text)

describe('files of an embedded repository', () => {
  const environment = useTestEnvironment()
  const newFolder = useFolders()
  const inFolder = async () => (await newFolder()).files
  const inContainer = async () => {
    const connectionString = environment.newStorageAccount()
    const place = {
      account: { kind: 'connection-string', connectionString },
      container: 'metadata',
      hook: withoutHook,
    } as const
    const container = openContainer(place)
    await container.ensure()
    return containerFiles({ container, leases: openBlobLeases(place), name: 'metadata', prefix: 'below/' })
  }

  describe.each<[string, () => Promise<EmbeddedFiles>]>([
    ['in a folder', inFolder],
    ['in a container', inContainer],
  ])('%s', (_where, open) => {
    let files: EmbeddedFiles
    beforeAll(async () => {
      files = await open()
    })
    const textOf = async (path: string, from?: number) => {
      const body = await files.read(path, from)
      return body === null ? null : Buffer.from(body).toString()
    }

    test('an append happens at its position, and at no other', async () => {
      expect(await files.append('log/a', bytes('one\n'), 3)).toBe(false)
      expect(await files.append('log/a', bytes('one\n'), 0)).toBe(true)
      expect(await files.append('log/a', bytes('two\n'), 0)).toBe(false)
      expect(await files.append('log/a', bytes('two\n'), 4)).toBe(true)
      expect(await files.append('log/a', bytes('three\n'), 4)).toBe(false)
      expect(await textOf('log/a')).toBe('one\ntwo\n')
    })

    test('a file is created once', async () => {
      expect(await files.create('records/x.y/a.json', bytes('first'))).toBe(true)
      expect(await files.create('records/x.y/a.json', bytes('second'))).toBe(false)
      expect(await textOf('records/x.y/a.json')).toBe('first')
    })

    test('a file is replaced, whether it is there or not', async () => {
      await files.replace('index.json', bytes('a long first one'))
      await files.replace('index.json', bytes('second'))
      expect(await textOf('index.json')).toBe('second')
    })

    test('a file is read from any byte on', async () => {
      await files.create('read', bytes('0123'))
      expect([await textOf('read', 2), await textOf('read', 4), await textOf('read', 9)]).toEqual(['23', '', ''])
      expect(await textOf('absent')).toBeNull()
    })

    test('a folder has the files directly in it, and their sizes', async () => {
      await files.create('list/b', bytes('22'))
      await files.create('list/a%2Fb', bytes('1'))
      await files.create('list/below/c', bytes('333'))
      expect(await files.list('list')).toEqual([
        { path: 'list/a%2Fb', bytes: 1 },
        { path: 'list/b', bytes: 2 },
      ])
      expect(await files.list('nothing')).toEqual([])
    })
  })
})
