import { appendFile, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { schemaFingerprint } from '../../shared/metadata/model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { EMBEDDED_TENANT, type Folder, openEmbedded, useFolders } from './embedded-bench.ts'
import { counted, TARGET, volume } from './fact.ts'

const series = { target: TARGET, kind: 'ingestion_volume' }
const LEASE_LOST = { name: 'LeaseLostError' }
const DAMAGED = { name: 'PermanentError' }

describe('an embedded repository in a folder', () => {
  const newFolder = useFolders()

  /** Days 0 to 4, in two segments of the log. */
  const filled = async (folder: Folder) => {
    const repository = await openEmbedded(folder.files)
    for (let day = 0; day < 5; day++) await repository.store(volume(day, { payload: counted(day) }))
    await repository.close()
    return folder
  }
  const daysIn = async (folder: Folder) => {
    const repository = await openEmbedded(folder.files)
    const { records } = await repository.history(series)
    const latest = await repository.latest(series)
    await repository.close()
    return [records.map(({ payload }) => payload.records), latest?.changeNo]
  }
  const FILLED = [[4, 3, 2, 1, 0], 5]
  const inTenant = (folder: Folder, path: string) => join(folder.path, EMBEDDED_TENANT, path)

  test('has an index, a log, a file per record and one per schema', async () => {
    const folder = await newFolder()
    const repository = await openEmbedded(folder.files)
    const columns = [{ name: 'close', type: 'float8' }]
    const snapshot = (runId: string): NewMetadataRecord => ({
      ...volume(0, { context: { namespace: 'catalog', runId } }),
      kind: 'schema_snapshot',
      payload: { place: 'parquet', fingerprint: schemaFingerprint(columns), columns },
    })
    await repository.bulkStore([volume(0), snapshot('one'), snapshot('two')])
    await repository.close()
    const files = (await folder.list()).map((path) => path.replace(/_[0-9a-f]{32}\.json$/, '_<key>.json'))
    expect(files).toEqual([
      'index.json',
      'log/00000001.jsonl',
      'records/ingestion_volume/alpaca.bars.TSLA%2F1d/2024-01-02T00-00-00.000000Z_run-0_<key>.json',
      'records/schema_snapshot/alpaca.bars.TSLA%2F1d/2024-01-02T00-00-00.000000Z_one_<key>.json',
      'records/schema_snapshot/alpaca.bars.TSLA%2F1d/2024-01-02T00-00-00.000000Z_two_<key>.json',
      `schemas/${schemaFingerprint(columns)}.json`,
    ])
  })

  test('is opened again as it was', async () => {
    expect(await daysIn(await filled(await newFolder()))).toEqual(FILLED)
  })

  test.each<[string, (folder: Folder) => Promise<void>]>([
    ['is gone', (folder) => rm(inTenant(folder, 'index.json'))],
    ['is torn', (folder) => truncate(inTenant(folder, 'index.json'), 300)],
    ['is of another version', (folder) => writeFile(inTenant(folder, 'index.json'), '{"version":0}')],
  ])('makes its index of the log where it %s', async (_what, spoil) => {
    const folder = await filled(await newFolder())
    await spoil(folder)
    expect(await daysIn(folder)).toEqual(FILLED)
  })

  test.each<[string, string]>([
    ['half a line', '{"key":"0123'],
    ['what a loss of power left', `${'\0'.repeat(40)}"}\n{"key":1}\n`],
  ])('cuts %s at the end of its log', async (_what, torn) => {
    const folder = await filled(await newFolder())
    const log = inTenant(folder, 'log/00000002.jsonl')
    const before = await readFile(log, 'utf8')
    await appendFile(log, torn)
    expect(await daysIn(folder)).toEqual(FILLED)
    expect(await readFile(log, 'utf8')).toBe(before)
  })

  test.each<[string, (folder: Folder) => Promise<void>, RegExp]>([
    [
      'a log that is shorter than its index knows',
      (folder) => truncate(inTenant(folder, 'log/00000002.jsonl'), 10),
      /00000002\.jsonl: expected at least \d+ bytes, which the index knows, got 10/,
    ],
    [
      'a line that is none',
      async (folder) => {
        await rm(inTenant(folder, 'index.json'))
        await writeFile(inTenant(folder, 'log/00000001.jsonl'), 'nonsense\n')
      },
      /00000001\.jsonl, byte 0: expected a stored metadata record, got nonsense/,
    ],
    [
      'a log without its first lines',
      async (folder) => {
        await rm(inTenant(folder, 'index.json'))
        await rm(inTenant(folder, 'log/00000001.jsonl'))
      },
      /expected log\/00000001\.jsonl, got log\/00000002\.jsonl/,
    ],
  ])('is not opened with %s', async (_what, spoil, message) => {
    const folder = await filled(await newFolder())
    await spoil(folder)
    await expect(openEmbedded(folder.files)).rejects.toMatchObject({
      ...DAMAGED,
      message: expect.stringMatching(message),
    })
    // Whoever mends it can open it: the lock was given back.
    expect(await folder.list()).not.toContain('lock')
  })

  test('takes a line that stands twice in its log for one record', async () => {
    const folder = await filled(await newFolder())
    const [line] = (await folder.text('log/00000001.jsonl')).split('\n')
    await appendFile(inTenant(folder, 'log/00000002.jsonl'), `${line}\n`)
    expect(await daysIn(folder)).toEqual(FILLED)
  })

  test('says so where a file is gone, and has it again once the index is made anew', async () => {
    const folder = await filled(await newFolder())
    const [file = ''] = (await folder.list()).filter((path) => path.startsWith('records/'))
    await rm(inTenant(folder, file))
    await expect(daysIn(folder)).rejects.toMatchObject({ ...DAMAGED, message: expect.stringContaining(file) })
    await rm(inTenant(folder, 'lock'))
    await rm(inTenant(folder, 'index.json'))
    expect(await daysIn(folder)).toEqual(FILLED)
  })

  test('keeps what is in conflict with a stored record, once', async () => {
    const folder = await newFolder()
    for (const _process of [1, 2]) {
      const repository = await openEmbedded(folder.files)
      await repository.bulkStore([volume(0, { payload: counted(1) }), volume(0, { payload: counted(2) })])
      await repository.store(volume(0, { payload: counted(2) }))
      await repository.close()
    }
    const lines = (await folder.text('rejects.jsonl')).split('\n').slice(0, -1)
    const kept = lines.map((line) => JSON.parse(line))
    expect(kept.map(({ code, record }) => [code, JSON.parse(record).payload.records])).toEqual([
      ['idempotency-conflict', 2],
    ])
  })

  test('takes nothing once it is closed', async () => {
    const repository = await openEmbedded((await newFolder()).files)
    await repository.close()
    await expect(repository.store(volume(0))).rejects.toThrow('expected an open repository, got a closed one')
  })

  describe('has one writer', () => {
    const lockOf = (folder: Folder) => inTenant(folder, 'lock')
    const writeLock = async (folder: Folder, fields: { readonly pid?: number; readonly host?: string }) => {
      await filled(folder)
      const lock = { pid: process.pid, host: hostname(), token: 'of another', ...fields }
      await writeFile(lockOf(folder), JSON.stringify(lock))
    }

    test('a second one is refused until the first is closed', async () => {
      const folder = await newFolder()
      const first = await openEmbedded(folder.files)
      const message = expect.stringContaining(`expected to be the only writer, got that of process ${process.pid}`)
      await expect(openEmbedded(folder.files)).rejects.toMatchObject({ ...LEASE_LOST, message })
      await first.close()
      await (await openEmbedded(folder.files)).close()
    })

    test('that of a process which is gone is taken over', async () => {
      const folder = await newFolder()
      await writeLock(folder, { pid: 2 ** 22 + 1 })
      expect(await daysIn(folder)).toEqual(FILLED)
    })

    test('that of an earlier process with our number is taken over', async () => {
      const folder = await newFolder()
      await writeLock(folder, {})
      expect(await daysIn(folder)).toEqual(FILLED)
    })

    test('that of a process which runs is not', async () => {
      const folder = await newFolder()
      await writeLock(folder, { pid: process.ppid })
      await expect(openEmbedded(folder.files)).rejects.toMatchObject(LEASE_LOST)
    })

    test('that of another machine is taken over when it was not touched for ten minutes', async () => {
      const folder = await newFolder()
      await writeLock(folder, { host: 'elsewhere' })
      await expect(openEmbedded(folder.files)).rejects.toMatchObject(LEASE_LOST)
      const old = new Date(Date.now() - 11 * 60_000)
      await utimes(lockOf(folder), old, old)
      expect(await daysIn(folder)).toEqual(FILLED)
    })

    test('who was displaced writes nothing, and leaves the lock of the other alone', async () => {
      const folder = await newFolder()
      const displaced = await openEmbedded(folder.files)
      await displaced.store(volume(0))
      await rm(lockOf(folder))
      const writer = await openEmbedded(folder.files)
      await expect(displaced.store(volume(1))).rejects.toMatchObject(LEASE_LOST)
      await displaced.close()
      expect(await writer.store(volume(2))).toMatchObject({ outcome: 'stored' })
      await writer.close()
    })
  })
})
