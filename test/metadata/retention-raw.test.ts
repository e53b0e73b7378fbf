import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { rawWithArchive } from '../../shared/metadata/retention/raw-archive.ts'
import { archiveRawPages, planRawRetention } from '../../shared/metadata/retention/raw-retention.ts'
import { fsck } from '../../shared/ops/fsck/fsck.ts'
import { openDatabase } from '../../shared/postgres/database.ts'
import { explainRow } from '../../shared/provenance/explain.ts'
import { partitionPlaceOf } from '../../shared/provenance/explain-row.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, type FaultKind } from '../support/faulty-io.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, TWO_YEARS } from '../support/workbench.ts'

const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'

describe('retention of raw pages', () => {
  const environment = useTestEnvironment()

  /** Three pages of one published ingest, fetched 100 days ago. */
  const open = async () => {
    const [databaseUrl, storageConnectionString] = [await environment.newDatabase(), environment.newStorageAccount()]
    const bench = await openWorkbench({
      databaseUrl,
      storageConnectionString,
      streams: [{ ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }],
      simulator: { limits: { pageRecordsGiven: 15 } },
      verify: false,
    })
    onTestFinished(() => bench.close())
    await bench.settle()
    await bench.query(`update provenance.raw_page set fetched_at = now() - interval '100 days'`)
    const container = (name: string, hook: IoHook = withoutHook) =>
      openContainer({ account: bench.platform.settings.lakeStorage, container: name, hook })
    const [raw, archive] = [container('raw'), container('archive')]
    await archive.ensure()
    const run = (days = 90, hook: IoHook = withoutHook) => {
      const connection = { kind: 'url' as const, url: databaseUrl }
      const db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, hook)
      const places = { db, raw: container('raw', hook), archive: container('archive', hook) }
      const rawRetentionDays = new Map([['alpaca', days]])
      return archiveRawPages({ ...places, rawRetentionDays, actor: 'nightly', log: bench.platform.log }).finally(() =>
        db.close(),
      )
    }
    const paths = async (blobs: typeof raw) => {
      const found: string[] = []
      for await (const { path } of blobs.list('')) found.push(path)
      return found
    }
    const audit = () =>
      bench.query<{ actor: string; after: { paths: string[] } }>(
        `select actor, after from ops.audit where action = 'archive_raw_pages'`,
      )
    const platform = { ...bench.platform, raw: rawWithArchive(raw, archive) }
    return { bench, raw, archive, run, paths, audit, platform }
  }
  let lake: Awaited<ReturnType<typeof open>>
  beforeEach(async () => {
    lake = await open()
  })

  test('moves the pages of a source that are older than its days to the archive, with an audit row', async () => {
    const pages = await lake.paths(lake.raw)
    expect(pages).toHaveLength(3)
    const [done] = await lake.run()
    expect(done).toMatchObject({ source: 'alpaca', pages: 3, damaged: 0 })
    expect(await lake.paths(lake.raw)).toEqual([])
    expect(await lake.paths(lake.archive)).toEqual(pages)
    expect(await lake.audit()).toEqual([{ actor: 'nightly', after: { paths: pages } }])
    expect(await lake.run()).toMatchObject([{ pages: 0 }])
  })

  test('leaves younger pages, and sources that are not named, where they are', async () => {
    expect(await lake.run(101)).toMatchObject([{ pages: 0 }])
    expect(await lake.paths(lake.raw)).toHaveLength(3)
    expect(await lake.audit()).toEqual([])
  })

  test('leaves the pages of an ingest that is not done where they are', async () => {
    await lake.bench.query(`update provenance.source_ingest set state = 'quarantined'`)
    expect(await lake.run()).toMatchObject([{ pages: 0 }])
    expect(await lake.paths(lake.raw)).toHaveLength(3)
  })

  test('a plan says how much there is, and changes nothing', async () => {
    const rawRetentionDays = new Map([['alpaca', 90]])
    const [plan] = await planRawRetention({ db: lake.bench.platform.db, rawRetentionDays })
    expect(plan).toMatchObject({ source: 'alpaca', pages: 3 })
    expect(await lake.paths(lake.raw)).toHaveLength(3)
    expect(await lake.run()).toMatchObject([{ pages: 3, bytes: plan?.bytes }])
  })

  test('archived pages are found by who rebuilds, explains and checks', async () => {
    await lake.run()
    expect(await filesUnlikeTheirRaw({ ...lake.platform, raw: lake.raw })).toHaveLength(2)
    expect(await filesUnlikeTheirRaw(lake.platform)).toEqual([])
    const explained = await explainRow(lake.platform, partitionPlaceOf(FILE), [{ column: 'ts', value: '2002-01-15' }])
    expect(explained).toMatchObject({ madeAgain: true, page: { pageNo: 1 } })
    const options = { deep: true, signal: new AbortController().signal, onFinding: () => undefined }
    expect((await fsck(lake.platform, options)).findings).toEqual([])
  })

  test('fsck finds a page that is in both once, and one that is in neither', async () => {
    const [first = '', second = ''] = await lake.paths(lake.raw)
    const blob = await lake.raw.get(first)
    const metadata = blob?.metadata ?? {}
    await lake.archive.put(first, blob?.body ?? new Uint8Array(), {
      condition: { kind: 'absent' },
      contentType: 'x',
      metadata,
    })
    await lake.raw.remove(second, (await lake.raw.head(second))?.etag ?? '')
    const options = { deep: false, signal: new AbortController().signal, onFinding: () => undefined }
    const { findings } = await fsck(lake.platform, options)
    expect(findings.filter(({ place }) => place.includes('_p')).map(({ kind, place }) => `${kind} ${place}`)).toEqual([
      `raw_page_missing ${second}`,
    ])
  })

  test('a page that is not what was fetched stays where it is, and the others go', async () => {
    const [first = '', second = ''] = await lake.paths(lake.raw)
    const [other, etag] = [await lake.raw.get(second), (await lake.raw.head(first))?.etag ?? '']
    const options = { condition: { kind: 'unchanged' as const, etag }, contentType: 'x', metadata: {} }
    await lake.raw.put(first, other?.body ?? new Uint8Array(), options)
    expect(await lake.run()).toMatchObject([{ pages: 2, damaged: 1 }])
    expect(await lake.paths(lake.raw)).toEqual([first])
    expect(await lake.paths(lake.archive)).toHaveLength(2)
    expect(lake.bench.logged).toContainEqual(
      expect.objectContaining({ level: 'error', event: 'raw_page_not_archived', path: first }),
    )
  })

  test('a page stays in raw while the archive has something else under its path', async () => {
    const [first = ''] = await lake.paths(lake.raw)
    const options = { condition: { kind: 'absent' as const }, contentType: 'x', metadata: {} }
    await lake.archive.put(first, Buffer.from('another'), options)
    expect(await lake.run()).toMatchObject([{ pages: 2, damaged: 1 }])
    expect(await lake.paths(lake.raw)).toEqual([first])
  })

  test('a crash anywhere loses no page, and the next run moves what is left and audits each page once', async () => {
    const pages = await lake.paths(lake.raw)
    const put = async (path: string) => {
      const blob = await lake.archive.get(path)
      if (blob === null) return
      const options = { condition: { kind: 'absent' as const }, contentType: 'x', metadata: blob.metadata }
      await lake.raw.put(path, blob.body, options)
      await lake.archive.remove(path, blob.etag)
    }
    const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
      for (const path of pages) await put(path)
      await lake.bench.query('update provenance.raw_page set archived_at = null, removed_at = null')
      await lake.bench.query(`delete from ops.audit`)
      const io = createFaultyIo()
      io.arm(fault)
      await lake.run(90, io.hook).catch(() => undefined)
      expect(new Set([...(await lake.paths(lake.raw)), ...(await lake.paths(lake.archive))])).toEqual(new Set(pages))
      await lake.run()
      const audited = (await lake.audit()).flatMap(({ after }) => after.paths)
      return { operations: io.operations, state: [await lake.paths(lake.raw), await lake.paths(lake.archive), audited] }
    }
    const clean = await run()
    expect(clean.state).toEqual([[], pages, pages])
    for (const at of clean.operations.keys()) {
      for (const kind of ['after', 'dead'] as const) {
        const { action = '', subject = '' } = clean.operations[at] ?? {}
        // An answer that was lost matters of a change.
        if (kind === 'after' && !/^(put|remove)|^query (record|commit)/.test(`${action} ${subject}`)) continue
        expect((await run({ kind, at })).state, `${kind} ${at} ${subject}`).toEqual([[], pages, pages])
      }
    }
  }, 120_000)
})
