import { BlobServiceClient } from '@azure/storage-blob'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readPartitionFile } from '../../shared/curated/partition-file.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import {
  changesNothing,
  checkAllowed,
  type Preview,
  previewReprocess,
  type Reprocessed,
  runReprocess,
} from '../../shared/ingest/repair/reprocess.ts'
import type { PartitionsToReprocess } from '../../shared/ingest/repair/reprocess-target.ts'
import { verifyPartitions } from '../../shared/ingest/repair/verify.ts'
import { formatDate, parseInstant } from '../../shared/instant.ts'
import type { Source } from '../../shared/sources/contract.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS, type Workbench } from '../support/workbench.ts'
import { A_DAY_LATER, closeAtMost, VOLUMES_IN_HUNDREDS } from './changed-transform.ts'

const STREAM = 'alpaca/bars/SPX/1d'
const KEY_2001 = 'timeframe=1d/symbol=SPX/year=2001/part-alpaca'
const KEY_2002 = 'timeframe=1d/symbol=SPX/year=2002/part-alpaca'
const FILE_2002 = `dataset=bars/${KEY_2002}.parquet`
const FILE_2001 = `dataset=bars/${KEY_2001}.parquet`
const ALL: PartitionsToReprocess = { lo: null, hi: null, outdated: false }

describe('reprocess makes files again from raw alone', () => {
  const environment = useTestEnvironment()
  /** Two years as the sources of today made them, and the same services with the sources of tomorrow, no provider. */
  const openBoth = async (
    next: ReadonlyMap<string, Source>,
    { verify = true, streams = [TWO_YEARS], more = [] as readonly StreamEntry[] } = {},
  ) => {
    const services = {
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    }
    const now = await openWorkbench({ ...services, streams, verify })
    onTestFinished(() => now.close())
    await now.settle()
    for (const stream of more) {
      await now.writeStreams([stream])
      await now.settle()
    }
    await now.simulator.close()
    const later = await openWorkbench({ ...services, streams, sources: next, verify })
    onTestFinished(() => later.close())
    await later.simulator.close()
    return { now, later, ...services }
  }
  const preview = async ({ platform }: Workbench, selection = ALL): Promise<Preview> => {
    const stream = await selectStream(platform.db, STREAM)
    const signal = new AbortController().signal
    return previewReprocess(platform, stream, selection, { signal, onPartition: () => undefined })
  }
  const run = ({ platform }: Workbench, previewed: Preview, signal = new AbortController().signal) =>
    runReprocess(platform, previewed, { actor: 'ada', action: 'reprocess', signal, onDone: () => undefined })
  const verdicts = async ({ platform }: Workbench) => {
    const kinds: string[] = []
    for await (const { kind } of verifyPartitions(platform, new AbortController().signal)) kinds.push(kind)
    return kinds
  }
  const history = (bench: Workbench) =>
    bench.query(
      `select to_jsonb(i) as ingest from provenance.source_ingest i where lane <> 'reprocess' order by 1::text`,
    )
  const dates = async ({ platform }: Workbench, path: string) => {
    const file = await readPartitionFile(platform.curated, bars, path)
    if (file.kind !== 'file') return file.kind
    const times = columnOf(file.rows, 'ts') as BigInt64Array
    return [times.at(0), times.at(-1)].map((time) => formatDate(Number((time ?? 0n) / 86_400_000_000n)))
  }
  const states = ({ rebuilds }: Reprocessed) => rebuilds.map(({ partitionKey, state }) => `${state} ${partitionKey}`)

  test('a changed transform comes into every file, without the provider, and the earlier ingests stay as they were', async () => {
    const { now, later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const before = await history(now)
    const previewed = await preview(later)
    expect(previewed.partitions).toMatchObject([
      { partitionKey: KEY_2001, rows: { added: 0, changed: 248, unchanged: 0, removed: 0 }, same: false },
      { partitionKey: KEY_2002, rows: { added: 0, changed: 252, unchanged: 0, removed: 0 }, same: false },
    ])
    const done = await run(later, previewed)
    expect(done.rebuilds).toMatchObject([
      { state: 'published', added: 0, changed: 248, unchanged: 0, removed: 0 },
      { state: 'published', added: 0, changed: 252, unchanged: 0, removed: 0 },
    ])
    expect(await history(later)).toEqual(before)
    expect(await verdicts(later)).toEqual(['same', 'same'])
    const rebuilds = await later.query(
      `select lane, by_mark, lo, initiated_by, transform_version from provenance.source_ingest where lane = 'reprocess'`,
    )
    const rebuild = { lane: 'reprocess', by_mark: false, lo: null, initiated_by: 'ada', transform_version: 2 }
    expect(rebuilds).toEqual([rebuild, rebuild])
    expect(await later.query('select actor, action, subject from ops.audit')).toEqual([
      { actor: 'ada', action: 'reprocess', subject: STREAM },
    ])
  })

  test('the preview says the bytes that the file then has, and writes nothing', async () => {
    const { now, later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const everything = () =>
      now.query(`select (select jsonb_agg(p order by path) from curated.partition p) as files,
                        (select jsonb_agg(i order by source_ingest_id) from provenance.source_ingest i) as ingests`)
    const before = await everything()
    const previewed = await preview(later)
    expect(await everything()).toEqual(before)
    await run(later, previewed)
    const after = await later.query<{ bytes: number }>('select bytes from curated.partition order by path')
    expect(after.map(({ bytes }) => bytes)).toEqual(previewed.partitions.map(({ bytesAfter }) => bytesAfter))
  })

  test('a second run finds nothing to do', async () => {
    const { later } = await openBoth(VOLUMES_IN_HUNDREDS)
    await run(later, await preview(later))
    const again = await preview(later)
    expect(changesNothing(again)).toBe(true)
    expect(await run(later, again)).toEqual({ rebuilds: [], rejects: { replayed: 0, opened: 0 } })
  })

  test.each<[string, Partial<PartitionsToReprocess>, readonly string[]]>([
    ['from an instant on', { lo: parseInstant('2002-01-01T00:00:00Z') ?? null }, [KEY_2002]],
    ['before an instant', { hi: parseInstant('2002-01-01T00:00:00Z') ?? null }, [KEY_2001]],
    [
      'that hold a microsecond of it',
      { hi: parseInstant('2002-01-01T00:00:00.000001Z') ?? null },
      [KEY_2001, KEY_2002],
    ],
    ['that an older transform made', { outdated: true }, [KEY_2001, KEY_2002]],
  ])('only partitions %s are looked at', async (_what, selection, keys) => {
    const { later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const { partitions } = await preview(later, { ...ALL, ...selection })
    expect(partitions.map(({ partitionKey }) => partitionKey)).toEqual(keys)
  })

  test('what today’s transform made is not outdated', async () => {
    const { now } = await openBoth(SOURCES)
    expect((await preview(now, { ...ALL, outdated: true })).partitions).toEqual([])
  })

  describe('rows that move into a file where their ingest is not listed', () => {
    // Its window holds the first day of 2002, on which there was no bar: it is listed for 2001 alone.
    const FIRST = { ...TWO_YEARS, until: '2002-01-02' }
    const until2002 = { ...ALL, hi: parseInstant('2002-01-01T00:00:00Z') ?? null }

    test('come into that file, which nobody asked for, and with it stays what was there', async () => {
      const { now, later } = await openBoth(A_DAY_LATER, { streams: [FIRST], more: [TWO_YEARS] })
      expect(await dates(now, FILE_2001)).toEqual(['2001-01-02', '2001-12-31'])
      const previewed = await preview(later, until2002)
      const [first] = await later.query<{ id: string }>(
        'select source_ingest_id as id from provenance.source_ingest order by lo',
      )
      expect(previewed.partitions).toMatchObject([
        { partitionKey: KEY_2001, joining: [], rowsAfter: 247 },
        { partitionKey: KEY_2002, joining: [first?.id], rowsAfter: 252 },
      ])
      expect(states(await run(later, previewed))).toEqual([`published ${KEY_2001}`, `published ${KEY_2002}`])
      expect(await dates(later, FILE_2001)).toEqual(['2001-01-03', '2001-12-29'])
      expect(await dates(later, FILE_2002)).toEqual(['2002-01-01', '2002-12-31'])
      expect(await verdicts(later)).toEqual(['same', 'same'])
    })

    test('come into a file that was never there', async () => {
      const { later } = await openBoth(A_DAY_LATER, { streams: [FIRST] })
      await run(later, await preview(later))
      expect(await dates(later, FILE_2002)).toEqual(['2002-01-01', '2002-01-01'])
      expect(await verdicts(later)).toEqual(['same', 'same'])
    })

    test('are missing there until it is made again, and verify says pending meanwhile', async () => {
      const { later } = await openBoth(A_DAY_LATER, { streams: [FIRST], more: [TWO_YEARS] })
      await later.query('update curated.partition set transform_version = 2')
      const stop = new AbortController()
      stop.abort()
      await expect(run(later, await preview(later), stop.signal)).rejects.toThrow('told to stop')
      expect(await verdicts(later)).toEqual(['different', 'pending'])
      await later.sweep()
      await later.drain()
      expect(await verdicts(later)).toEqual(['same', 'same'])
    })

    test('come in once a rebuild that had failed is tried again, for until then it stays pending', async () => {
      const { later } = await openBoth(A_DAY_LATER, { streams: [FIRST], more: [TWO_YEARS] })
      const stop = new AbortController()
      stop.abort()
      await expect(run(later, await preview(later), stop.signal)).rejects.toThrow('told to stop')
      await later.query(`update provenance.source_ingest set state = 'failed' where by_mark`)
      const [failed] = await later.query<{ id: string }>(
        'select source_ingest_id as id from provenance.source_ingest where by_mark',
      )
      const done = await run(later, await preview(later))
      expect(done.rebuilds).toMatchObject([{ state: 'published' }, { sourceIngestId: failed?.id, state: 'published' }])
      expect(await verdicts(later)).toEqual(['same', 'same'])
    })
  })

  test('a rebuild that is planned already is worked off, and no second one planned', async () => {
    const { later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const previewed = await preview(later)
    const stop = new AbortController()
    stop.abort()
    await expect(run(later, previewed, stop.signal)).rejects.toThrow('told to stop')
    const planned = () =>
      later.query<{ id: string }>(
        `select source_ingest_id as id from provenance.source_ingest where lane = 'reprocess' order by 1`,
      )
    const first = await planned()
    expect(first).toHaveLength(2)
    expect(states(await run(later, await preview(later)))).toEqual([`published ${KEY_2001}`, `published ${KEY_2002}`])
    expect(await planned()).toEqual(first)
  })

  test('told to stop, it leaves what is planned to the sweep', async () => {
    const { later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const stop = new AbortController()
    const previewed = await preview(later)
    const options = { actor: 'ada', action: 'reprocess', signal: stop.signal, onDone: () => stop.abort() }
    await expect(runReprocess(later.platform, previewed, options)).rejects.toThrow('told to stop')
    expect(await verdicts(later)).toEqual(['same', 'other-version'])
    await later.sweep()
    await later.drain()
    expect(await verdicts(later)).toEqual(['same', 'same'])
    expect(changesNothing(await preview(later))).toBe(true)
  })

  test('a worker with an older transform is refused a rebuild that was planned for a newer one', async () => {
    const { now, later } = await openBoth(VOLUMES_IN_HUNDREDS)
    const stop = new AbortController()
    stop.abort()
    await expect(run(later, await preview(later), stop.signal)).rejects.toThrow('told to stop')
    const [rebuild] = await later.query<{ id: string }>(
      `select source_ingest_id as id from provenance.source_ingest where lane = 'reprocess' and state = 'planned'`,
    )
    expect(await now.curate({ v: 1, sourceIngestId: rebuild?.id })).toBe('refused')
    await later.settle()
  })

  test('a file that a newer transform made is refused', async () => {
    const { now, later } = await openBoth(VOLUMES_IN_HUNDREDS)
    await run(later, await preview(later))
    await expect(preview(now)).rejects.toThrow(
      `partition ${FILE_2001}: expected at most transform version 1, got 2; run it with the newer build`,
    )
  })

  test('where a raw page is missing the partition stays as it is, and says which', async () => {
    const { later, storageConnectionString } = await openBoth(VOLUMES_IN_HUNDREDS, { verify: false })
    const [page] = await later.query<{ path: string }>('select path from provenance.raw_page')
    const raw = BlobServiceClient.fromConnectionString(storageConnectionString).getContainerClient('raw')
    await raw.getBlockBlobClient(page?.path ?? '').delete()
    const previewed = await preview(later)
    expect(previewed.partitions.map(({ problem }) => problem)).toEqual([
      `raw page ${page?.path}: expected a blob, there is none`,
      `raw page ${page?.path}: expected a blob, there is none`,
    ])
    expect((await run(later, previewed)).rebuilds).toEqual([])
  })

  test('where the rows of raw pages are lost nothing is made without them', async () => {
    const { later } = await openBoth(VOLUMES_IN_HUNDREDS, { verify: false })
    const [ingest] = await later.query<{ id: string }>('select source_ingest_id as id from provenance.source_ingest')
    await later.query('delete from provenance.raw_page')
    const problem = `ingest ${ingest?.id}: expected the rows of 1 raw pages, got 0; tributary fsck --repair`
    expect((await preview(later)).partitions).toMatchObject([{ problem }, { problem }])
  })

  test('more rejects than a window may have are refused unless accepted, and are then kept as rejects', async () => {
    const { later } = await openBoth(closeAtMost(1_200))
    const previewed = await preview(later)
    const [rejects] = previewed.rejects
    expect(rejects).toMatchObject({ before: 0, records: 500 })
    const broken = rejects?.now ?? 0
    expect(broken).toBeGreaterThan(0)
    expect(() => checkAllowed([previewed], { acceptRejects: false })).toThrow(
      /^ingest .+: expected at most .+ rejects, got \d+ \(page 0 record \d+ out_of_range: close: expected at most 1200; .+; --accept-rejects takes them$/,
    )
    checkAllowed([previewed], { acceptRejects: true })
    const done = await run(later, previewed)
    expect(done.rejects).toEqual({ replayed: 0, opened: broken })
    expect(await later.query('select state, code, count(*) from provenance.reject group by 1, 2')).toEqual([
      { state: 'open', code: 'out_of_range', count: broken },
    ])
    expect(done.rebuilds.reduce((rows, { removed }) => rows + (removed ?? 0), 0)).toBe(broken)
    // The same once more is not more than before.
    checkAllowed([await preview(later)], { acceptRejects: false })
  })
})
