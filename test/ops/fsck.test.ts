import { gunzipSync, gzipSync } from 'node:zlib'
import { BlobServiceClient } from '@azure/storage-blob'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Finding } from '../../shared/ops/fsck/finding.ts'
import { fsck } from '../../shared/ops/fsck/fsck.ts'
import { type RepairResult, repair, repairPlan } from '../../shared/ops/fsck/repair.ts'
import { storeRawPage } from '../../shared/provenance/raw-page.ts'
import { PROBE_PATH } from '../../shared/provenance/raw-path.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const STREAM = 'alpaca/bars/SPX/1d'
const FILE = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'
const UNKNOWN = '01987c3e-0000-7000-8000-000000000000'
/** 41 bars in three pages, two files. */
const TWO_MONTHS: StreamEntry = { ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }
const PAGES_OF_15 = { limits: { pageRecordsGiven: 15 } }

type Page = { readonly path: string; readonly id: string; readonly sha256: string }

describe('fsck finds where Postgres and the lake do not agree', () => {
  const environment = useTestEnvironment()
  /** A published lake, and hands that damage it around the product, which has no way to. */
  const open = async () => {
    const storageConnectionString = environment.newStorageAccount()
    const operations: string[] = []
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString,
      hook(operation, work) {
        operations.push(`${operation.client} ${operation.action} ${operation.subject}`)
        return work()
      },
      streams: [TWO_MONTHS],
      simulator: PAGES_OF_15,
      verify: false,
    })
    onTestFinished(() => bench.close())
    await bench.settle()
    const blob = (container: string, path: string) =>
      BlobServiceClient.fromConnectionString(storageConnectionString)
        .getContainerClient(container)
        .getBlockBlobClient(path)
    const overwrite = async (container: string, path: string, change: (body: Buffer) => Buffer) => {
      const { metadata = {} } = await blob(container, path).getProperties()
      const body = change(await blob(container, path).downloadToBuffer())
      await blob(container, path).upload(body, body.byteLength, { metadata })
    }
    const pages = await bench.query<Page>(
      'select path, source_ingest_id as id, sha256 from provenance.raw_page order by page_no',
    )
    expect(pages).toHaveLength(3)
    operations.length = 0
    return { bench, blob, overwrite, operations, pages, first: pages[0] as Page, second: pages[1] as Page }
  }
  const look = async ({ platform }: Workbench, { deep = false } = {}) => {
    const seen: Finding[] = []
    const signal = new AbortController().signal
    const report = await fsck(platform, { deep, signal, onFinding: (finding) => seen.push(finding) })
    return { ...report, seen, found: report.findings.map(({ kind, place }) => `${kind} ${place}`) }
  }
  const mend = async (bench: Workbench) => {
    const steps = repairPlan((await look(bench)).findings)
    const options = { actor: 'ada', signal: new AbortController().signal, onDone: () => undefined }
    return repair(bench.platform, steps, options)
  }
  const done = (results: readonly RepairResult[]) => results.map((result) => `${result.step.kind} ${result.done}`)
  const openAlerts = ({ query }: Workbench) =>
    query(`select kind, subject, detail from ops.alert where kind = 'fsck_mismatch' and closed_at is null`)

  test('nothing in a lake that is whole, and says how much it looked at', async () => {
    const { bench } = await open()
    // What doctor leaves is no page and no damage.
    const options = { condition: { kind: 'absent' }, contentType: 'text/plain', metadata: {} } as const
    await bench.platform.raw.put(PROBE_PATH, new Uint8Array(1), options)
    for (const deep of [false, true]) {
      const { checked, damage, explained, inFlight, seen } = await look(bench, { deep })
      expect({ checked, damage, explained, inFlight, seen }).toEqual({
        checked: { pages: 3, ingests: 1, streams: 1, partitions: 2, blobs: 6 },
        damage: {},
        explained: 0,
        inFlight: 0,
        seen: [],
      })
    }
    expect(await openAlerts(bench)).toEqual([])
  })

  test('that raw is whole with one listing, and asks for single blobs only where a row was not seen', async () => {
    const { bench, blob, operations, second } = await open()
    const asked = () => operations.splice(0).filter((operation) => operation.startsWith('blob head raw/'))
    await look(bench)
    expect(asked()).toEqual([])
    await blob('raw', second.path).delete()
    await look(bench)
    expect(asked()).toEqual([`blob head raw/${second.path}`])
  })

  test('a raw page without its blob, and that no file can be made of it', async () => {
    const { bench, blob, second } = await open()
    await blob('raw', second.path).delete()
    await blob('curated', FILE).delete()
    const { found, findings } = await look(bench)
    expect(found).toEqual([`raw_page_missing ${second.path}`, `partition_missing ${FILE}`])
    expect(findings[0]).toMatchObject({
      detail: `ingest ${second.id}: expected a blob, there is none`,
      repair: null,
      advice: `restore the blob from its versions, soft delete or a backup, or read the window again: tributary backfill plan --stream ${STREAM} --from 2001-12-01T00:00:00Z --to 2002-02-01T00:00:00Z --again`,
    })
    expect(findings[1]).toMatchObject({
      repair: null,
      advice: `it cannot be made before raw page ${second.path} is mended; then look again`,
    })
  })

  test('a raw page whose blob has another size', async () => {
    const { bench, overwrite, second } = await open()
    await overwrite('raw', second.path, (body) => body.subarray(0, 100))
    const { found, findings } = await look(bench)
    expect(found).toEqual([`raw_page_altered ${second.path}`])
    expect(findings[0]?.detail).toMatch(/^ingest .+: expected \d+ bytes, got 100$/)
  })

  test('a raw page whose blob has the size and metadata of the true one, when it looks deep', async () => {
    const { bench, overwrite, second } = await open()
    await overwrite('raw', second.path, (body) => {
      const { length } = body
      const altered = gzipSync(
        gunzipSync(body)
          .toString()
          .replace(/"c":(\d)/, (_, digit) => `"c":${9 - digit}`),
        { level: 1 },
      )
      return altered.length === length ? altered : Buffer.concat([altered, Buffer.alloc(length)]).subarray(0, length)
    })
    expect((await look(bench)).found).toEqual([])
    expect((await look(bench, { deep: true })).found).toEqual([`raw_page_altered ${second.path}`])
  })

  test('a raw page whose metadata names another origin', async () => {
    const { bench, blob, second } = await open()
    const { metadata = {} } = await blob('raw', second.path).getProperties()
    await blob('raw', second.path).setMetadata({ ...metadata, pageno: '7' })
    expect((await look(bench)).findings).toMatchObject([
      {
        kind: 'raw_page_altered',
        place: second.path,
        detail: expect.stringMatching(/expected pageno 1 in its metadata, got 7$/),
      },
    ])
  })

  test.each<[string, string, Readonly<Record<string, string>>, RegExp]>([
    ['without metadata', 'stray.json.gz', {}, /expected the metadata of a raw page/],
    [
      'of an ingest that nobody knows',
      `a/b_${UNKNOWN}_e1_p0.json.gz`,
      { sourceingestid: UNKNOWN, epoch: '1', pageno: '0' },
      /expected an ingest of this database/,
    ],
    [
      'that is a copy under another name',
      'copy.json.gz',
      { sourceingestid: UNKNOWN, epoch: '1', pageno: '0' },
      /expected the name of page 0 of ingest/,
    ],
  ])('an orphan in raw: a blob %s', async (_what, path, metadata, detail) => {
    const { bench, blob } = await open()
    await blob('raw', path).upload('x', 1, { metadata })
    expect((await look(bench)).findings).toMatchObject([
      { kind: 'raw_blob_orphan', place: path, detail: expect.stringMatching(detail), repair: null },
    ])
  })

  test.each<[string, string, Finding['weight'], RegExp]>([
    [
      'a retry',
      'epoch = 9, landed_epoch = 9',
      'explained',
      /^epoch 2 of ingest .+ ended before this page was recorded; it landed in epoch 9$/,
    ],
    [
      'a split',
      `landed_epoch = null, state = 'cancelled', error_class = 'split'`,
      'explained',
      /it is cancelled \(split\)$/,
    ],
    ['a worker that is landing', `landed_epoch = null, epoch = 2, state = 'landing'`, 'in_flight', /is landing$/],
  ])('no damage in a page that %s left unrecorded', async (_what, columns, weight, detail) => {
    const { bench, first } = await open()
    const id = '01987c3e-0000-7000-8000-00000000000a'
    await bench.query(
      `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, lo, hi, state, parameters, initiated_by)
       select $1::uuid, stream_id, 'live', '1990-01-01', '1990-02-01', 'planned', '{}', 'test' from ingest.stream`,
      [id],
    )
    await bench.query(`update provenance.source_ingest set ${columns} where source_ingest_id = $1::uuid`, [id])
    const path = first.path.replace(/[^_]+_e\d+_p\d+/, `${id}_e2_p0`)
    const origin = { lo: 0n, hi: 1n }
    const page = { sourceIngestId: id, epoch: 2, pageNo: 0, path, streamKey: 'x', of: origin, observedAt: 0n }
    await storeRawPage(bench.platform.raw, { ...page, body: Buffer.from('{}'), requestFingerprint: '0' })
    const { seen } = await look(bench)
    const left = seen.filter(({ place }) => place === path)
    expect(left).toMatchObject([{ kind: 'raw_page_unlisted', weight, detail: expect.stringMatching(detail) }])
  })

  test.each<[string, string]>([
    ['one', 'page_no = 1'],
    ['all', 'true'],
  ])(
    'that %s of the rows of an ingest’s pages are lost, and writes them again from their blobs',
    async (_what, where) => {
      const { bench, pages } = await open()
      const rows = () =>
        bench.query(`select to_jsonb(p) - 'fetched_at' as page from provenance.raw_page p order by page_no`)
      const before = await rows()
      await bench.query(`delete from provenance.raw_page where ${where}`)
      const { damage } = await look(bench)
      expect(damage).toEqual({
        raw_page_unlisted: pages.length - (await rows()).length,
        pages_incomplete: 1,
        coverage_unproven: 2,
      })
      expect(done(await mend(bench))).toEqual(['restore_pages true'])
      expect(await rows()).toEqual(before)
      expect((await look(bench)).findings).toEqual([])
      const audit = await bench.query('select actor, action, subject from ops.audit')
      expect(audit).toEqual([{ actor: 'ada', action: 'restore_raw_pages', subject: `ingest ${pages[0]?.id}` }])
    },
  )

  test.each<[string, (body: string) => string]>([
    [
      'answers another request',
      (body) =>
        body.replace(/"next_page_token":"([^"]+)"/, (_, token) => `"next_page_token":"${'x'.repeat(token.length)}"`),
    ],
    ['holds fewer records', (body) => body.replace(/\{"t":[^}]+\},/, (record) => ' '.repeat(record.length))],
  ])('a lost row whose chain %s is not written again', async (_what, change) => {
    const { bench, blob, first } = await open()
    await bench.query('delete from provenance.raw_page')
    const body = Buffer.from(change(gunzipSync(await blob('raw', first.path).downloadToBuffer()).toString()))
    const { createHash } = await import('node:crypto')
    const { metadata = {} } = await blob('raw', first.path).getProperties()
    const stored = gzipSync(body)
    const sha256 = createHash('sha256').update(body).digest('hex')
    await blob('raw', first.path).upload(stored, stored.byteLength, { metadata: { ...metadata, sha256 } })
    expect(done(await mend(bench))).toEqual(['restore_pages false'])
    expect(await bench.query('select count(*) from provenance.raw_page')).toEqual([{ count: 0 }])
  })

  test('coverage without pages, to the microsecond', async () => {
    const { bench } = await open()
    await bench.query(
      `update ingest.stream set published = published + '{[2002-02-01,2002-02-03)}', fetched = fetched + '{[2002-02-01,2002-02-02)}'`,
    )
    const { findings } = await look(bench)
    expect(findings.map(({ kind, place, detail }) => `${kind} ${place} ${detail}`)).toEqual([
      `coverage_unproven ${STREAM} fetched 2002-02-01T00:00:00Z … 2002-02-02T00:00:00Z: expected ingests with all of their pages, there are none`,
      `coverage_unproven ${STREAM} published 2002-02-01T00:00:00Z … 2002-02-03T00:00:00Z: expected ingests with all of their pages, there are none`,
    ])
  })

  test('published time of which the ingest is not published', async () => {
    const { bench } = await open()
    await bench.query(`update provenance.source_ingest set state = 'failed'`)
    const { findings } = await look(bench)
    expect(findings.map(({ kind, detail }) => `${kind} ${detail.split(': ')[0]}`)).toEqual([
      'coverage_unproven published 2001-12-01T00:00:00Z … 2002-02-01T00:00:00Z',
    ])
  })

  test('counts that do not add up', async () => {
    const { bench, first } = await open()
    await bench.query('update provenance.source_ingest set inserted = inserted + 1')
    expect((await look(bench)).findings).toMatchObject([
      {
        kind: 'counts_differ',
        place: `ingest ${first.id}`,
        detail: 'expected its 41 records to be accounted for, got 42 + 0 + 0 + 0 + 0 + 0',
      },
    ])
  })

  type Hands = Awaited<ReturnType<typeof open>>
  const PARTITION_DAMAGE: readonly (readonly [string, (hands: Hands) => Promise<unknown>, string])[] = [
    ['whose file is missing', ({ blob }) => blob('curated', FILE).delete(), 'partition_missing'],
    [
      'whose file is cut',
      ({ overwrite }) => overwrite('curated', FILE, (body) => body.subarray(0, 100)),
      'partition_altered',
    ],
    [
      'whose hash differs from the one in Postgres',
      ({ bench }) => bench.query(`update curated.partition set sha256 = repeat('0', 64) where path = $1`, [FILE]),
      'partition_altered',
    ],
    [
      'that Postgres has lost',
      ({ bench }) => bench.query('delete from curated.partition where path = $1', [FILE]),
      'partition_unlisted',
    ],
  ]
  test.each(PARTITION_DAMAGE)('a partition %s, and makes it again from raw', async (_what, damage, kind) => {
    const hands = await open()
    const { bench } = hands
    await damage(hands)
    expect((await look(bench)).found).toEqual([`${kind} ${FILE}`])
    await bench.simulator.close()
    expect(done(await mend(bench))).toEqual(['rebuild_partition true'])
    expect((await look(bench, { deep: true })).findings).toEqual([])
    expect(await filesUnlikeTheirRaw(bench.platform)).toEqual([])
    expect(await readLake(bench.platform)).toEqual({ rows: 41, duplicateKeys: 0, wrongHashes: [] })
  })

  test('a partition that could be made only without the rows of an ingest, and waits until its pages are restored', async () => {
    const { bench, blob, first } = await open()
    await blob('curated', FILE).delete()
    await bench.query('delete from provenance.raw_page')
    const { findings } = await look(bench)
    expect(findings.find(({ kind }) => kind === 'partition_missing')).toMatchObject({
      repair: null,
      advice: `it cannot be made before the pages of ingest ${first.id} are mended; then look again`,
    })
    expect(done(await mend(bench))).toEqual(['restore_pages true'])
    expect(done(await mend(bench))).toEqual(['rebuild_partition true'])
    expect((await look(bench)).findings).toEqual([])
    expect(await readLake(bench.platform)).toEqual({ rows: 41, duplicateKeys: 0, wrongHashes: [] })
  })

  test('a partition whose bytes differ though its size and metadata do not, when it looks deep', async () => {
    const { bench, overwrite } = await open()
    await overwrite('curated', FILE, (body) =>
      Buffer.concat([body.subarray(0, 100), Buffer.alloc(4), body.subarray(104)]),
    )
    expect((await look(bench)).found).toEqual([])
    expect((await look(bench, { deep: true })).found).toEqual([`partition_altered ${FILE}`])
  })

  test('a curated file that nobody is listed for, which only a person can judge', async () => {
    const { bench, blob } = await open()
    const foreign = FILE.replace('alpaca', 'elsewhere')
    await blob('curated', foreign).upload('x', 1)
    await blob('curated', 'notes.txt').upload('x', 1)
    const { found, findings } = await look(bench)
    expect([...found].sort()).toEqual([`partition_unlisted ${foreign}`, 'partition_unlisted notes.txt'])
    expect(repairPlan(findings).map(({ kind }) => kind)).toEqual(['person', 'person'])
  })

  test('no damage in a partition that is being written', async () => {
    const { bench, overwrite } = await open()
    await overwrite('curated', FILE, (body) => body.subarray(0, 100))
    await bench.query(`update provenance.source_ingest set state = 'curating'`)
    const { seen } = await look(bench)
    expect(seen.filter(({ place }) => place === FILE)).toMatchObject([{ weight: 'in_flight' }])
  })

  test('damage, and an alert is open until it finds none', async () => {
    const { bench, blob } = await open()
    await blob('curated', FILE).delete()
    await look(bench)
    await look(bench)
    expect(await openAlerts(bench)).toEqual([
      {
        kind: 'fsck_mismatch',
        subject: 'lake',
        detail: { partition_missing: 1, first: [{ kind: 'partition_missing', place: FILE }] },
      },
    ])
    // The sweep closes what follows from Postgres alone, and this does not.
    await bench.sweep()
    expect(await openAlerts(bench)).toHaveLength(1)
    await mend(bench)
    await look(bench)
    expect(await openAlerts(bench)).toEqual([])
  })
})
