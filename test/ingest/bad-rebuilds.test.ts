import { BlobServiceClient } from '@azure/storage-blob'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { v7 as uuidv7 } from 'uuid'
import { afterEach, describe, expect, test } from 'vitest'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState } from '../support/lake-state.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'
import { type LedgerBench, openLedger } from './ledger.ts'

const MONTH = { ...TWO_YEARS, origin: '2001-12-01', until: '2002-01-01' }
const OTHER = { ...MONTH, params: { symbol: 'OTHER', timeframe: '1d' } }
const KEY = 'timeframe=1d/symbol=SPX/year=2001/part-alpaca'
const OWN = 'expected a partition of dataset=bars/timeframe=1d/symbol=SPX/part-alpaca, got'
const FILE = { lines: ['2020-01-02,1', '2020-01-03,1'], modifiedAt: '2020-02-03T08:00:00Z' }
const LEDGER_FILE = 'dataset=observations/symbol=A/year=2020/part-ledger.parquet'

describe('I8 bad input is loud: rebuilds', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  let storage = ''
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const services = async () => {
    storage = environment.newStorageAccount()
    return { databaseUrl: await environment.newDatabase(), storageConnectionString: storage }
  }
  const openTwo = async () => {
    const series = ['SPX', 'OTHER'].map((symbol) => loadSp500(symbol))
    const bench = await openWorkbench({ ...(await services()), streams: [MONTH, OTHER], simulator: { series } })
    opened.push(bench)
    await bench.settle()
    return bench
  }
  const openBooks = async () => {
    const books = await openLedger(await services())
    opened.push(books.bench)
    await books.drop(FILE)
    await books.bench.settle()
    return books
  }
  /** Around the product, which has no way to overwrite or delete. */
  const blob = (container: string, path: string) =>
    BlobServiceClient.fromConnectionString(storage).getContainerClient(container).getBlockBlobClient(path)
  const rebuild = async (bench: Workbench, partitionKey: string | null) => {
    const id = uuidv7()
    await bench.query(
      `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, partition_key, parameters, initiated_by)
       select $1::uuid, stream_id, 'reprocess', $2::text, params, 'test' from ingest.stream where subject in ('SPX', 'A')`,
      [id, partitionKey],
    )
    const worked = await bench.curate({ v: 1, sourceIngestId: id })
    const [row] = await bench.query<{ error: string | null }>(
      `select error_class || ': ' || replace(error_summary, source_ingest_id::text, '…') as error
         from provenance.source_ingest where source_ingest_id = $1::uuid`,
      [id],
    )
    return { worked, error: row?.error }
  }
  const curatedPaths = async ({ platform }: Workbench) => {
    const paths: string[] = []
    for await (const { path, etag } of platform.curated.list('')) paths.push(`${path} ${etag}`)
    return paths
  }

  test.each<[what: string, key: string | null, problem: string]>([
    ['of another stream', KEY.replace('SPX', 'OTHER'), `${OWN} "timeframe=1d/symbol=OTHER/year=2001/part-alpaca"`],
    ['of another source', KEY.replace('alpaca', 'massive'), `${OWN} "timeframe=1d/symbol=SPX/year=2001/part-massive"`],
    ['of another timeframe', KEY.replace('1d', '1m'), `${OWN} "timeframe=1m/symbol=SPX/year=2001/part-alpaca"`],
    [
      'of months where there are years',
      KEY.replace('/part', '/month=12/part'),
      `${OWN} "timeframe=1d/symbol=SPX/year=2001/month=12/part-alpaca"`,
    ],
    ['that leads elsewhere', `../raw/${KEY}`, `${OWN} "../raw/${KEY}"`],
    ['that is its path', `dataset=bars/${KEY}.parquet`, `${OWN} "dataset=bars/${KEY}.parquet"`],
    ['without a year', 'timeframe=1d/symbol=SPX/part-alpaca', `${OWN} "timeframe=1d/symbol=SPX/part-alpaca"`],
    ['of nothing', '', `${OWN} ""`],
    [
      'of a year that no ingest has written',
      KEY.replace('2001', '2050'),
      `expected a partition that an ingest has written, got "${KEY.replace('2001', '2050')}"`,
    ],
    ['that is none', null, 'expected the key of a partition, got none'],
  ])('a key %s fails the rebuild, told and alerted, and no file is touched', async (_what, key, problem) => {
    const bench = await openTwo()
    const before = { lake: await lakeState(bench.platform), paths: await curatedPaths(bench) }
    expect(await rebuild(bench, key)).toEqual({
      worked: 'failed',
      error: `PermanentError: rebuild …: ${problem}`,
    })
    expect(await curatedPaths(bench)).toEqual(before.paths)
    expect((await lakeState(bench.platform)).partitions).toEqual(before.lake.partitions)
    await bench.sweep()
    expect(await bench.query(`select kind, subject from ops.alert where closed_at is null`)).toEqual([
      { kind: 'failed_ingest', subject: 'alpaca/bars/SPX/1d' },
    ])
    expect(await rebuild(bench, KEY)).toEqual({ worked: 'published', error: null })
  })

  test.each([
    ['is not Parquet', () => Buffer.from('not parquet')],
    ['is cut', (body: Buffer) => body.subarray(0, body.length >> 1)],
    [
      'is of another schema',
      () => Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'ts', data: [1], type: 'INT32' }] })),
    ],
  ])(
    'a curated file that %s is told, and made again byte for byte; what changed nobody can say',
    async (_what, damage) => {
      const { bench, rows, rebuilds } = await openBooks()
      const whole = await blob('curated', LEDGER_FILE).downloadToBuffer()
      const { metadata = {} } = await blob('curated', LEDGER_FILE).getProperties()
      const damaged = damage(whole)
      await blob('curated', LEDGER_FILE).upload(damaged, damaged.length, { metadata })
      expect(await rebuild(bench, 'symbol=A/year=2020/part-ledger')).toEqual({ worked: 'published', error: null })
      expect(await blob('curated', LEDGER_FILE).downloadToBuffer()).toEqual(whole)
      expect(await rows()).toEqual(['2020-01-02 1', '2020-01-03 1'])
      expect(await rebuilds()).toMatchObject([{ state: 'published', inserted: null, updated: null, removed: null }])
      await bench.sweep()
      expect(
        await bench.query(
          `select kind, subject, closed_at is not null as closed, detail ->> 'problem' as problem from ops.alert`,
        ),
      ).toEqual([
        {
          kind: 'curated_file',
          subject: LEDGER_FILE,
          closed: true,
          problem: expect.stringMatching(/^curated file .+: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}$/),
        },
      ])
    },
  )

  test('a rebuild that misses a raw page fails with its name, changes nothing, and is done once the page is back', async () => {
    const { bench, drop, rows, rebuilds }: LedgerBench = await openBooks()
    await drop({ ...FILE, name: 'other.csv', lines: ['2020-01-04,4'] })
    await bench.settle()
    const [page] = await bench.query<{ path: string }>(
      `select path from provenance.raw_page join provenance.source_ingest using (source_ingest_id)
        where parameters ->> 'name' = 'other.csv'`,
    )
    const path = page?.path ?? ''
    const whole = await blob('raw', path).downloadToBuffer()
    const { metadata = {} } = await blob('raw', path).getProperties()
    await blob('raw', path).delete()
    // A new version takes the place of the first: the partition is rebuilt, and needs every page listed for it.
    await drop({ ...FILE, lines: ['2020-01-02,2'] })
    await bench.settle()
    expect(await rebuilds()).toMatchObject([{ state: 'failed' }])
    expect(await rows()).toEqual(['2020-01-02 2', '2020-01-03 1', '2020-01-04 4'])
    await bench.sweep()
    expect(
      await bench.query(`select kind, detail ->> 'error' as error from ops.alert where closed_at is null`),
    ).toEqual([{ kind: 'failed_ingest', error: `raw page ${path}: expected a blob, there is none` }])

    await blob('raw', path).upload(whole, whole.length, { metadata })
    await bench.query(`update provenance.source_ingest set state = 'planned', queued_at = null where state = 'failed'`)
    await bench.settle()
    expect(await rebuilds()).toMatchObject([{ state: 'published', removed: 1 }])
    expect(await rows()).toEqual(['2020-01-02 2', '2020-01-04 4'])
    await bench.sweep()
    expect(await bench.query('select kind from ops.alert where closed_at is null')).toEqual([])
  })

  test('a rebuild for which records of raw pages are lost fails, and does not leave their rows out', async () => {
    const { bench, drop, rows, rebuilds }: LedgerBench = await openBooks()
    await drop({ ...FILE, name: 'other.csv', lines: ['2020-01-04,4'] })
    await bench.settle()
    const [lost] = await bench.query<{ id: string; row: unknown }>(
      `delete from provenance.raw_page p using provenance.source_ingest i
        where i.source_ingest_id = p.source_ingest_id and i.parameters ->> 'name' = 'other.csv'
        returning p.source_ingest_id as id, to_jsonb(p) as row`,
    )
    await drop({ ...FILE, lines: ['2020-01-02,2'] })
    await bench.settle()
    expect(await rebuilds()).toMatchObject([{ state: 'failed' }])
    expect(await rows()).toEqual(['2020-01-02 2', '2020-01-03 1', '2020-01-04 4'])
    const [failed] = await bench.query(`select error_summary from provenance.source_ingest where state = 'failed'`)
    expect(failed).toEqual({
      error_summary: `ingest ${lost?.id}: expected the rows of 1 raw pages, got 0; tributary fsck --repair`,
    })
    await bench.query(
      'insert into provenance.raw_page select * from jsonb_populate_record(null::provenance.raw_page, $1::jsonb)',
      [JSON.stringify(lost?.row)],
    )
    await bench.query(`update provenance.source_ingest set state = 'planned', queued_at = null where state = 'failed'`)
    await bench.settle()
    expect(await rows()).toEqual(['2020-01-02 2', '2020-01-04 4'])
  })
})
