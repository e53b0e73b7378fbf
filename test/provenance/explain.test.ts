import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import { explainRow } from '../../shared/provenance/explain.ts'
import { explainIngest } from '../../shared/provenance/explain-ingest.ts'
import { explainPartition } from '../../shared/provenance/explain-partition.ts'
import { partitionPlaceAt, partitionPlaceOf } from '../../shared/provenance/explain-row.ts'
import { CLOSE_OR_ZERO, VOLUMES_IN_HUNDREDS } from '../ingest/changed-transform.ts'
import { NAME, openLedger } from '../ingest/ledger.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'

const STREAM = 'alpaca/bars/SPX/1d'
const PATH = 'dataset=bars/timeframe=1d/symbol=SPX/year=2002/part-alpaca.parquet'
const KEY = [{ column: 'ts', value: '2002-01-15' }]

describe('explain', () => {
  const environment = useTestEnvironment()
  let bench: Workbench
  let id = ''
  beforeAll(async () => {
    bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      streams: [{ ...TWO_YEARS, origin: '2001-12-01', until: '2002-02-01' }],
      // The 15th of January is on the second of three pages; the fourth record of the first has no close.
      simulator: { limits: { pageRecordsGiven: 15 }, faults: [{ kind: 'field', change: 'drop', field: 'c', row: 3 }] },
    })
    await bench.settle()
    const [ingest] = await bench.query<{ id: string }>('select source_ingest_id as id from provenance.source_ingest')
    id = ingest?.id ?? ''
  })
  afterAll(() => bench.close())
  const place = partitionPlaceOf(PATH)

  test('a row leads to its record, its raw page, its ingest and the request that was answered', async () => {
    const explained = await explainRow(bench.platform, place, KEY)
    expect(explained).toMatchObject({
      path: PATH,
      pending: false,
      values: { ts: '2002-01-15T00:00:00Z', session_date: '2002-01-15', symbol: 'SPX', source: 'alpaca' },
      madeAgain: true,
      ingest: { sourceIngestId: id, lane: 'live', state: 'published', records: 41, inserted: 40, rejected: 1 },
      page: { pageNo: 1, epoch: 1, records: 15, httpStatus: 200, isLast: false },
      request: {
        method: 'GET',
        path: '/v2/stocks/bars',
        query: { symbols: 'SPX', timeframe: '1Day', start: '2001-12-01T00:00:00Z', page_token: expect.any(String) },
      },
      requestProblem: null,
    })
    const { provenance, page, record, values } = explained
    expect(page.sha256.slice(0, 16)).toBe(provenance.rawSha256)
    expect(record.ordinal).toBe(provenance.rawRow)
    expect(JSON.parse(record.json ?? '')).toMatchObject({ t: '2002-01-15T05:00:00Z', c: values.close, o: values.open })
  })

  test('the page’s bytes hold exactly that record at that place', async () => {
    const { page, record } = await explainRow(bench.platform, place, KEY)
    const { readRawPage } = await import('../../shared/provenance/raw-page.ts')
    const body = JSON.parse(Buffer.from(await readRawPage(bench.platform.raw, page)).toString())
    expect(body.bars.SPX[record.ordinal]).toEqual(JSON.parse(record.json ?? ''))
  })

  test('a row of the first page was asked for without a token', async () => {
    const { request, page } = await explainRow(bench.platform, partitionPlaceOf(PATH.replace('2002', '2001')), [
      { column: 'ts', value: '2001-12-04' },
    ])
    expect(page.pageNo).toBe(0)
    expect(request?.query).not.toHaveProperty('page_token')
  })

  test('a row is found in a stream by its time, and in a path with whatever stands before it', async () => {
    const stream = await selectStream(bench.platform.db, STREAM)
    expect(partitionPlaceAt(stream, [{ column: 'ts', value: '2002-01-15T12:00:00Z' }])).toEqual(place)
    expect(partitionPlaceOf(`.tributary/lake/curated/${PATH}`)).toEqual(place)
  })

  test('with another transform it says that the record would make another row', async () => {
    const sources = VOLUMES_IN_HUNDREDS
    const { madeAgain, record, values } = await explainRow({ ...bench.platform, sources }, place, KEY)
    expect(madeAgain).toBe(false)
    expect(record.row?.volume).toBe((values.volume as number) / 100)
  })

  test.each<[string, readonly { column: string; value: string }[], string]>([
    ['no key', [], '--key: expected symbol=… timeframe=… source=… ts=…, got none'],
    [
      'another column',
      [{ column: 'tss', value: '1' }],
      '--key: expected a column of bars (ts, session_date, open, high, low, close, volume, symbol, timeframe, source, adjustment, trade_count, vwap), got tss',
    ],
    ['no instant', [{ column: 'ts', value: 'monday' }], '--key: expected ts as instant, got "monday"'],
    ['no number', [{ column: 'open', value: 'x' }], '--key: expected open as double, got "x"'],
    [
      'a day without a row',
      [{ column: 'ts', value: '2002-01-19' }],
      `${PATH}: expected one row with ts=2002-01-19, got none of 21`,
    ],
    ['many rows', [{ column: 'symbol', value: 'SPX' }], `${PATH}: expected one row with symbol=SPX, got 21`],
  ])('a key that names %s is refused with what was expected', async (_what, key, message) => {
    await expect(explainRow(bench.platform, place, key)).rejects.toThrow(message)
  })

  test('a path that is none of a curated file is refused, and a file that is not there is told', async () => {
    expect(() => partitionPlaceOf('part.parquet')).toThrow(
      'path: expected one of a curated file, dataset=…/….parquet, got "part.parquet"',
    )
    const gone = partitionPlaceOf(PATH.replace('2002', '1999'))
    await expect(explainRow(bench.platform, gone, KEY)).rejects.toThrow(
      'expected one that can be read, got none; tributary fsck says more',
    )
    await expect(explainPartition(bench.platform, gone)).rejects.toThrow(
      'path: expected a curated file that somebody wrote',
    )
  })

  test('a partition names who is listed for it, what was published and whether the blob is that', async () => {
    expect(await explainPartition(bench.platform, place)).toMatchObject({
      path: PATH,
      published: { stream: STREAM, blobVersion: 1, rows: 21, transformVersion: 1, sourceIngestId: id },
      asPublished: true,
      pending: false,
      ingests: [{ sourceIngestId: id, standing: 'current', state: 'published', pages: 3, inserted: 21 }],
      rebuilds: [],
    })
  })

  test('an ingest names its pages, what it wrote where, and its rejects', async () => {
    const { ingest, pages, written, rejects } = await explainIngest(bench.platform.db, id)
    expect(ingest).toMatchObject({ state: 'published', epoch: 2, landedEpoch: 1, pages: 3, rejected: 1, halves: [] })
    expect(pages.map(({ pageNo, records, isLast }) => [pageNo, records, isLast])).toEqual([
      [0, 15, false],
      [1, 15, false],
      [2, 11, true],
    ])
    expect(written.map(({ path, inserted }) => [path, inserted])).toEqual([
      [PATH.replace('2002', '2001'), 19],
      [PATH, 21],
    ])
    expect(rejects).toEqual([
      { code: 'missing', state: 'open', count: 1, example: 'close: expected a value, got none' },
    ])
  })

  test('an ingest that nobody knows is refused', async () => {
    const unknown = '01987c3e-0000-7000-8000-000000000000'
    await expect(explainIngest(bench.platform.db, unknown)).rejects.toThrow(
      `ingest: expected one of this database, got ${unknown}`,
    )
  })

  test('a record that fits only with another transform is told as it stands', async () => {
    const [reject] = await bench.query<{ ordinal: number }>('select ordinal from provenance.reject')
    const { explainRecord } = await import('../../shared/provenance/explain-record.ts')
    const { readRawPage } = await import('../../shared/provenance/raw-page.ts')
    const [page] = await bench.query<{ path: string; sha256: string }>(
      'select path, sha256 from provenance.raw_page where page_no = 0',
    )
    const body = await readRawPage(bench.platform.raw, page ?? { path: '', sha256: '' })
    const explain = (sources: Workbench['platform']['sources']) => {
      const source = sources.get('alpaca')
      if (source === undefined) throw new Error('expected alpaca')
      const bound = source.bind({ symbol: 'SPX', timeframe: '1d' })
      return explainRecord({ dataset: source.dataset, bound }, body, reject?.ordinal ?? -1)
    }
    expect(explain(bench.platform.sources)).toMatchObject({ row: null, reject: { code: 'missing' } })
    expect(explain(CLOSE_OR_ZERO)).toMatchObject({ row: { close: 0 }, reject: null })
  })
})

describe('explain of files', () => {
  const environment = useTestEnvironment()

  test('a row leads to the version of the file, which was asked for by nobody, and superseded versions stay listed', async () => {
    const books = await openLedger({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
    })
    const { bench, drop } = books
    await drop({ lines: ['2020-01-02,1', '2020-01-03,1'], modifiedAt: '2020-02-03T08:00:00Z' })
    await bench.settle()
    await drop({ lines: ['2020-01-02,2'], modifiedAt: '2020-02-04T08:00:00Z' })
    await bench.settle()
    const place = partitionPlaceOf('dataset=observations/symbol=A/year=2020/part-ledger.parquet')
    expect(await explainRow(bench.platform, place, [{ column: 'ts', value: '2020-01-02' }])).toMatchObject({
      values: { value: 2 },
      record: { ordinal: 0, json: '"2020-01-02,2"' },
      page: { httpStatus: null },
      request: null,
      requestProblem: null,
      ingest: { file: { name: NAME, version: 2 }, lo: null },
    })
    const { ingests, rebuilds } = await explainPartition(bench.platform, place)
    expect(ingests.map(({ file, standing }) => [file?.version, standing])).toEqual([
      [1, 'superseded'],
      [2, 'current'],
    ])
    expect(rebuilds).toMatchObject([{ state: 'published', byMark: true, initiatedBy: 'superseded', removed: 1 }])
    await bench.close()
  })
})
