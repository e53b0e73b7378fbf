import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { beforeEach, describe, expect, test } from 'vitest'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { planCompaction } from '../../shared/metadata/retention/compact.ts'
import { readAllRecords } from '../../shared/metadata/retention/history-reader.ts'
import { overlappingFiles } from '../../shared/metadata/retention/overlapping-files.ts'
import { createPause } from '../support/pause.ts'
import { counted, TARGET, volume } from './fact.ts'
import { EVER, useRetention } from './retention-bench.ts'

const day = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10)
const other = (table: string, fields: Partial<NewMetadataRecord> = {}) => ({ target: { ...TARGET, table }, ...fields })

describe('compaction', () => {
  const bench = useRetention()
  beforeEach(() => bench.clear())

  const pathOf = (daysAgo: number, tenant = 'ours', kind = 'ingestion_volume') => {
    const [year, month] = day(daysAgo).split('-')
    return `compacted/tenant=${tenant}/kind=${kind}/year=${year}/month=${month}/${day(daysAgo)}.parquet`
  }
  const hot = async () =>
    (await bench.query<{ id: string }>('select record_id as id from metadata.record')).map(({ id }) => id)
  const volumeOf = (found: Awaited<ReturnType<typeof bench.compact>>) =>
    found?.find(({ kind }) => kind === 'ingestion_volume')
  const boundary = () =>
    bench.query('select below::text from metadata.compaction where kind = $1', ['ingestion_volume'])
  const everything = async () => (await bench.readAll()).map(({ recordId }) => recordId).sort()

  test('a tenant, kind and day that is no longer hot is one file, and its records leave the table, but for the latest', async () => {
    const [old = '', latest = ''] = await bench.store(95, [volume(0), volume(1)])
    const theirs = await bench.store(95, [volume(0)], 'theirs')
    const [stays = ''] = await bench.store(80, [volume(0, other('hot'))])
    expect(volumeOf(await bench.compact())).toEqual({
      kind: 'ingestion_volume',
      filesWritten: 2,
      recordsWritten: 3,
      recordsDeleted: 1,
      below: day(94),
      waitsFor: [],
    })
    expect(Object.keys(await bench.blobs())).toEqual([pathOf(95), pathOf(95, 'theirs')])
    expect((await hot()).sort()).toEqual([latest, ...theirs, stays].sort())
    expect(await everything()).toEqual([old, latest, stays].sort())
  })

  test('what comes out of a file is what was stored, to the last microsecond', async () => {
    const record = volume(0, {
      target: { ...TARGET, extras: { owner: 'markets' } },
      context: { jobId: 'j', runId: 'r', namespace: 'n', extras: { try: 2 } },
      scope: '2024-01/05',
      window: { start: '2024-01-05T00:00:00.000001Z', end: '2024-01-06T00:00:00.999999Z' },
      payload: { ...counted(3), filter: { ä: [1, null, 1.5e-9, { '\n"': -0.1 }] } },
      quality: 'backfilled',
      links: { inputs: [TARGET], baselineRuns: ['b'], parent: 'p' },
      extras: { lane: 'live' },
      key: 'ключ',
    })
    const { window: _, ...unplaced } = volume(1)
    await bench.store(95, [record, unplaced, volume(2)])
    const before = await bench.readAll()
    await bench.compact()
    const after = await bench.readAll()
    const byId = (a: { recordId: string }, b: { recordId: string }) => (a.recordId < b.recordId ? -1 : 1)
    expect([...after].sort(byId)).toEqual([...before].sort(byId))
    expect(after).toHaveLength(3)
  })

  test('other engines read it', async () => {
    await bench.store(95, [volume(0), volume(1, { scope: 'ü' })])
    await bench.compact()
    const file = join(tmpdir(), `compacted-${process.pid}.parquet`)
    await writeFile(file, (await bench.files.get(pathOf(95)))?.body ?? '')
    const connection = await (await DuckDBInstance.create()).connect()
    const reader = await connection.runAndReadAll(
      `select scope, window_end::varchar as e, (body::json ->> '$.payload.inserted')::int as n from '${file}' order by 2`,
    )
    expect(reader.getRowsJson()).toEqual([
      ['', '2024-01-02 00:00:00+00', 7],
      ['ü', '2024-01-03 00:00:00+00', 7],
    ])
    connection.closeSync()
  })

  test('a late record is of the day on which it was stored, whenever it was produced', async () => {
    await bench.store(95, [volume(0), volume(1)])
    await bench.compact()
    const [late = ''] = await bench.store(0, [volume(-3000)])
    expect(await everything()).toHaveLength(3)
    expect(volumeOf(await bench.compact())).toMatchObject({ filesWritten: 0, recordsDeleted: 0 })
    expect(await hot()).toContain(late)
  })

  test('the latest stays, wherever it lies among those that go', async () => {
    const [, latest] = await bench.store(95, [volume(0), volume(9), volume(1)])
    expect(volumeOf(await bench.compact())).toMatchObject({ recordsWritten: 3, recordsDeleted: 2 })
    expect(await hot()).toEqual([latest])
  })

  test('what was the latest leaves when something newer is stored', async () => {
    const [first = ''] = await bench.store(95, [volume(0)])
    await bench.compact()
    expect(await hot()).toEqual([first])
    await bench.store(0, [volume(1)])
    expect(volumeOf(await bench.compact())).toMatchObject({ filesWritten: 0, recordsDeleted: 1 })
    expect(await hot()).not.toContain(first)
    expect(await everything()).toHaveLength(2)
  })

  test('a repeat of what has left is a replay still', async () => {
    const [old = ''] = await bench.store(95, [volume(0), volume(1)])
    await bench.compact()
    expect(await hot()).not.toContain(old)
    expect(await bench.ours.store(volume(0))).toEqual({ outcome: 'replayed', recordId: old })
  })

  test('kinds that are kept for ever stay where they are', async () => {
    const snapshot = { ...volume(0), kind: 'statistics_snapshot', payload: { rows: 1 } }
    await bench.store(4_000, [snapshot, { ...volume(1), kind: 'statistics_snapshot', payload: { rows: 2 } }])
    await bench.compact()
    expect(await hot()).toHaveLength(2)
    expect(await bench.blobs()).toEqual({})
  })

  test('a day waits for the consumers of the feed that have still to read it, and the days after it too', async () => {
    await bench.store(97, [volume(0), volume(1)])
    await bench.store(95, [volume(2)])
    await bench.query(
      `insert into metadata.consumer (consumer, generation, xid, seq) select 'slow', generation, '0', 0 from metadata.feed`,
    )
    expect(volumeOf(await bench.compact())).toMatchObject({ below: day(97), recordsDeleted: 0, waitsFor: ['slow'] })
    expect(await hot()).toHaveLength(3)
    await bench.query(
      `update metadata.consumer set (xid, seq) = (select xid, seq from metadata.record order by 1 desc, 2 desc limit 1)`,
    )
    expect(volumeOf(await bench.compact())).toMatchObject({ below: day(94), recordsDeleted: 2, waitsFor: [] })
  })

  test('a consumer of another generation has read nothing', async () => {
    await bench.store(97, [volume(0), volume(1)])
    await bench.query(
      `insert into metadata.consumer (consumer, generation, xid, seq) values ('restored', gen_random_uuid(), '999999999', 0)`,
    )
    expect(volumeOf(await bench.compact())).toMatchObject({ recordsDeleted: 0, waitsFor: ['restored'] })
  })

  test('a plan lists what is due, and changes nothing', async () => {
    await bench.store(95, [volume(0), volume(1)])
    await bench.store(93, [volume(2)])
    const plan = (await planCompaction({ db: bench.db, kinds: KINDS })).find(({ kind }) => kind === 'ingestion_volume')
    expect(plan).toEqual({
      kind: 'ingestion_volume',
      days: [day(95), day(93)],
      files: [pathOf(95), pathOf(93)],
      recordsToWrite: 3,
      recordsToDelete: 2,
    })
    expect(await bench.blobs()).toEqual({})
    expect(volumeOf(await bench.compact())).toMatchObject({ filesWritten: 2, recordsWritten: 3, recordsDeleted: 2 })
    expect(await planCompaction({ db: bench.db, kinds: KINDS })).toContainEqual({
      ...plan,
      days: [],
      files: [],
      recordsToWrite: 0,
      recordsToDelete: 0,
    })
  })

  test('files that may hold what is asked for are named', async () => {
    await bench.store(95, [volume(0), volume(5)])
    await bench.store(80, [volume(6)])
    const find = (from: string | null, to: string | null, kind: string | null = null) =>
      overlappingFiles(bench.db, 'ours', kind, from, to)
    expect(await find(null, null)).toEqual([])
    await bench.compact()
    expect(await find(null, null)).toEqual([pathOf(95)])
    expect(await find('2024-01-06T12:00:00Z', '2024-01-08T00:00:00Z', 'ingestion_volume')).toEqual([pathOf(95)])
    expect(await find('2024-01-07T12:00:00Z', null)).toEqual([])
    expect(await find(null, '2024-01-02T00:00:00Z')).toEqual([])
    expect(await find(null, null, 'schedule')).toEqual([])
    expect(await overlappingFiles(bench.db, 'theirs', null, null, null)).toEqual([])
  })

  describe('stops, deletes nothing and says why', () => {
    const stops = async (message: RegExp) => {
      const before = await hot()
      await expect(bench.compact()).rejects.toThrow(message)
      expect(await hot()).toEqual(before)
      expect(bench.logged).toContainEqual(
        expect.objectContaining({ level: 'error', event: 'metadata_compaction_stopped', kind: 'ingestion_volume' }),
      )
    }

    test('when another file stands at the path', async () => {
      await bench.store(95, [volume(0), volume(1)])
      await bench.compact()
      const body = (await bench.files.get(pathOf(95)))?.body ?? new Uint8Array()
      const metadata = (await bench.files.head(pathOf(95)))?.metadata ?? {}
      await bench.clear()
      await bench.store(95, [volume(2), volume(3)])
      await bench.files.put(pathOf(95), body, { condition: { kind: 'absent' }, contentType: 'x', metadata })
      await stops(/^compacted file compacted\/tenant=ours.*: expected record .* with the content it was stored as/)
    })

    test('when another file appears there while it writes its own, and leaves that as it is', async () => {
      const pause = createPause(({ action }) => action === 'put')
      const slow = bench.open(pause.hook)
      await bench.store(95, [volume(0), volume(1)])
      pause.arm()
      const compaction = bench.compact(slow)
      await pause.reached
      const another = async function* () {
        yield Buffer.from('another')
      }
      const options = { condition: { kind: 'absent' as const }, contentType: 'x', metadata: () => ({}) }
      expect(await bench.files.putChunks(pathOf(95), another(), options)).toMatchObject({ written: true })
      const before = await bench.blobs()
      pause.resume()
      await expect(compaction).rejects.toThrow(/^compacted file compacted\/tenant=ours/)
      await slow.close()
      expect(await bench.blobs()).toEqual(before)
      expect(await hot()).toHaveLength(2)
    })

    test('when a damaged file stands there', async () => {
      await bench.store(95, [volume(0), volume(1)])
      const options = { condition: { kind: 'absent' as const }, contentType: 'x', metadata: {} }
      await bench.files.put(pathOf(95), Buffer.from('PAR1 nothing PAR1'), options)
      await stops(/^compacted file compacted\/tenant=ours/)
    })

    test('when the table holds other records than the file', async () => {
      const pause = createPause(({ subject }) => subject === 'move_metadata_compaction_boundary')
      const slow = bench.open(pause.hook)
      await bench.store(95, [volume(0), volume(1)])
      pause.arm()
      const compaction = bench.compact(slow)
      await pause.reached
      // A transaction that was open for days.
      await bench.store(95, [volume(2)])
      pause.resume()
      await expect(compaction).rejects.toThrow(
        /expected as many records in the files of .* as in the table, got others/,
      )
      await slow.close()
      expect(await hot()).toHaveLength(3)
    })

    test('when records are gone that it did not delete', async () => {
      const pause = createPause(({ subject }) => subject === 'delete_compacted_metadata_records')
      const slow = bench.open(pause.hook)
      const ids = await bench.store(95, [volume(0), volume(1), volume(2)])
      pause.arm()
      const compaction = bench.compact(slow)
      await pause.reached
      await bench.query('delete from metadata.record where record_id = $1', [ids[0]])
      pause.resume()
      await expect(compaction).rejects.toThrow(/below its boundary: expected 2 after 1 were deleted, got 1/)
      await slow.close()
    })
  })

  test('a compactor that lost its lease moves no boundary and deletes nothing', async () => {
    const pause = createPause(({ subject }) => subject === 'move_metadata_compaction_boundary')
    const slow = bench.open(pause.hook)
    await bench.store(95, [volume(0), volume(1)])
    pause.arm()
    const zombie = bench.compact(slow)
    await pause.reached
    expect(await bench.compact()).toBeNull()
    await bench.query(`update metadata.lease set expires_at = now()`)
    expect(volumeOf(await bench.compact())).toMatchObject({ filesWritten: 0, recordsDeleted: 1, below: day(94) })
    await bench.store(94, [volume(2)])
    pause.resume()
    await expect(zombie).rejects.toThrow(/expected it at .*, another compactor moved it/)
    await slow.close()
    expect(await boundary()).toEqual([{ below: day(94) }])
    expect(await everything()).toHaveLength(3)
  })

  test('a compactor whose lease another has taken moves no boundary, also before the other has', async () => {
    const pause = createPause(({ subject }) => subject === 'move_metadata_compaction_boundary')
    const slow = bench.open(pause.hook)
    await bench.store(95, [volume(0), volume(1)])
    pause.arm()
    const zombie = bench.compact(slow)
    await pause.reached
    await bench.query('update metadata.lease set epoch = epoch + 1')
    pause.resume()
    await expect(zombie).rejects.toMatchObject({ name: 'LeaseLostError' })
    await slow.close()
    expect(await hot()).toHaveLength(2)
    expect(await boundary()).toEqual([{ below: day(95) }])
  })

  test('a reader meets no damage unnoticed: every byte of a file is compared', async () => {
    await bench.store(95, [volume(0), volume(1)])
    await bench.compact()
    const { body = new Uint8Array(), etag = '' } = (await bench.files.get(pathOf(95))) ?? {}
    const damaged = Uint8Array.from(body)
    // Of text: the page is as whole as before.
    const at = Buffer.from(body).indexOf('run-0')
    expect(at).toBeGreaterThan(0)
    damaged[at] = 'R'.charCodeAt(0)
    const options = { condition: { kind: 'unchanged' as const, etag }, contentType: 'x', metadata: {} }
    await bench.files.put(pathOf(95), damaged, options)
    await expect(bench.readAll()).rejects.toThrow(/^compacted file compacted\/.*: expected sha256/)
  })

  test('a reader beside it finds every record once, wherever it is when he comes to it', async () => {
    const target = (table: number) => other(`t${table % 7}`)
    const records = Array.from({ length: 1_300 }, (_, index) => volume(-index, target(index)))
    await bench.store(95, records.slice(0, 900))
    await bench.store(92, records.slice(900))
    const pause = createPause(({ subject }) => subject === 'hot_metadata_records')
    let pages = 0
    const slow = bench.open(async (operation, run) => {
      if (operation.subject === 'hot_metadata_records' && ++pages === 2) pause.arm()
      return pause.hook(operation, run)
    })
    const found: string[] = []
    const reading = (async () => {
      for await (const { recordId } of readAllRecords(slow, { tenant: 'ours', kind: 'ingestion_volume', ...EVER })) {
        found.push(recordId)
      }
    })()
    await pause.reached
    expect(volumeOf(await bench.compact())).toMatchObject({ recordsDeleted: 1_293 })
    pause.resume()
    await reading
    await slow.close()
    expect(found).toHaveLength(1_300)
    expect(new Set(found).size).toBe(1_300)
  })

  test('a reader finds those of one target and of a time', async () => {
    await bench.store(95, [volume(0), volume(1), volume(2), volume(1, other('b')), volume(2, other('b'))])
    await bench.store(0, [volume(3)])
    await bench.compact()
    const found = await bench.readAll({ target: TARGET, from: '2024-01-03T00:00:00Z', to: '2024-01-05T00:00:00Z' })
    expect(found.map(({ context, target }) => `${target.table} ${context.runId}`).sort()).toEqual([
      'TSLA/1d run-1',
      'TSLA/1d run-2',
    ])
    expect(await bench.readAll({ tenant: 'theirs' })).toEqual([])
  })
})
