import { afterEach, describe, expect, test } from 'vitest'
import { planFile } from '../../shared/ingest/plan/plan-file.ts'
import { withdrawFile } from '../../shared/ingest/plan/withdraw-file.ts'
import { freeStream, holdStream } from '../../shared/ingest/state/hold.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { Source } from '../../shared/sources/contract.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { TWO_YEARS } from '../support/workbench.ts'
import { type LedgerBench, ledger, NAME, openLedger } from './ledger.ts'

const GOOD = { lines: ['2020-01-02,1'], modifiedAt: '2020-02-03T08:00:00Z' }
const SHA256 = '0'.repeat(64)

describe('I8 bad input is loud: files that are not what was planned', () => {
  const environment = useTestEnvironment()
  const opened: LedgerBench[] = []
  afterEach(async () => {
    for (const { bench } of opened.splice(0)) await bench.close()
  })
  const open = async () => {
    const books = await openLedger({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    })
    opened.push(books)
    return books
  }
  const endOf = async ({ bench }: LedgerBench) => {
    await bench.sweep()
    const worked = await bench.drain()
    await bench.sweep()
    const alerts = await bench.query<{ alert: string }>(
      `select kind || ': ' || (detail ->> 'error') as alert from ops.alert where closed_at is null order by 1`,
    )
    return { worked, alerts: alerts.map(({ alert }) => alert.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…')) }
  }
  /** The next file of the name is taken as if nothing had been, and nothing is left to do. */
  const goesOn = async (books: LedgerBench) => {
    await books.drop({ ...GOOD, lines: ['2020-01-05,5'] })
    await books.bench.settle()
    expect(await books.rows()).toEqual(['2020-01-05 5'])
    expect((await endOf(books)).alerts).toEqual([])
  }

  test('a file that vanishes before it is copied is cancelled with its name, and put again it is taken', async () => {
    const books = await open()
    const { bench, plan, put, versions } = books
    const seen = await put({ ...GOOD, name: 'there.csv' })
    await plan({ ...GOOD, name: 'gone.csv' }, seen)
    expect(await endOf(books)).toEqual({ worked: ['cancelled'], alerts: [] })
    expect(
      await bench.query('select error_class as name, error_summary as error from provenance.source_ingest'),
    ).toEqual([
      { name: 'FileGoneError', error: `file gone.csv version 1: expected a blob of ETag ${seen.etag}, got none` },
    ])
    await books.drop({ ...GOOD, name: 'gone.csv' })
    await bench.settle()
    expect(await versions()).toEqual(['gone.csv v1 cancelled by v2', 'gone.csv v2 published'])
  })

  test('a file that was changed before it was copied is cancelled with both ETags', async () => {
    const books = await open()
    const before = await books.put(GOOD)
    await books.plan(GOOD, before)
    const { etag } = await books.put({ ...GOOD, lines: ['2020-01-02,2'] })
    expect(await endOf(books)).toEqual({ worked: ['cancelled'], alerts: [] })
    expect(await books.bench.query('select error_summary as error from provenance.source_ingest')).toEqual([
      { error: `file ${NAME} version 1: expected a blob of ETag ${before.etag}, got one of ETag ${etag}` },
    ])
    await goesOn(books)
  })

  test('an ETag with other content than was hashed fails with both hashes, keeps nothing, and other content takes its place', async () => {
    const books = await open()
    const { etag, sha256, bytes } = await books.put(GOOD)
    await books.plan(GOOD, { etag, sha256: SHA256, bytes })
    const problem = `file ${NAME} version 1: expected sha256 ${SHA256} under ETag ${etag}, got ${sha256}`
    expect(await endOf(books)).toEqual({ worked: ['failed'], alerts: [`failed_ingest: ${problem}`] })
    expect(await books.bench.query('select count(*) as n from provenance.raw_page')).toEqual([{ n: 0 }])
    await goesOn(books)
  })

  test('a file that is no UTF-8 has rejects like any other, or fails; its bytes are kept as they came', async () => {
    const books = await open()
    const { bench } = books
    const body = Buffer.concat([Buffer.from('2020-01-02,1\n'), Buffer.from([0xff, 0xfe, 0x00, 0x0a])])
    const put = await bench.platform.landing.put(NAME, body, {
      condition: { kind: 'absent' },
      contentType: 'text/csv',
      metadata: {},
    })
    expect(put.written).toBe(true)
    await books.plan(GOOD, await books.seen())
    const { worked, alerts } = await endOf(books)
    expect(worked).toEqual(['landed', 'failed'])
    expect(alerts).toEqual([
      'failed_ingest: ingest …: expected at most a fifth of 2 rejects, got 1 (page 0 record 1 unreadable: date: expected one, got \uFFFD\uFFFD\uFFFD)',
    ])
    expect(await books.rows()).toEqual([])
    const [page] = await bench.query('select body_bytes as bytes from provenance.raw_page')
    expect(page).toEqual({ bytes: body.byteLength })
    await goesOn(books)
  })

  test('a file planned for a stream whose source is asked, and a window for one of files, fail and say which it is', async () => {
    const books = await open()
    const { bench, streamId } = books
    const both = await openLedger({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      streams: [{ ...TWO_YEARS, until: '2001-02-01' }],
      sources: new Map<string, Source>([
        ['ledger', ledger],
        ['alpaca', alpaca],
      ]),
    })
    opened.push(both)
    await both.bench.settle()
    const [stream] = await both.bench.query<{ id: number }>(
      `select stream_id as id from ingest.stream where source = 'alpaca'`,
    )
    const seen = await both.put(GOOD)
    const file = { name: NAME, ...seen, modifiedAt: 0n }
    await planFile(both.bench.platform.db, { streamId: stream?.id ?? 0, file, initiatedBy: 'test' })
    expect(await endOf(both)).toEqual({
      worked: ['failed'],
      alerts: ['failed_ingest: ingest …: expected a source of files, got alpaca'],
    })
    await bench.query(
      `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by)
       values ('01920000-0000-7000-8000-000000000001', $1, 'live', '2020-01-01', '2020-01-02', '{}', 'test')`,
      [streamId],
    )
    expect(await endOf(books)).toEqual({
      worked: ['failed'],
      alerts: ['failed_ingest: ingest …: expected a provider to ask, got the files of ledger'],
    })
  })

  test('what is not there cannot be planned, withdrawn, held or freed', async () => {
    const { bench, plan, streamId } = await open()
    const { db } = bench.platform
    const by = { actor: 'ada', reason: 'none' }
    const seen = { etag: 'e', sha256: SHA256, bytes: 1 }
    const file = { name: NAME, ...seen, modifiedAt: 0n }
    const missing = 'stream 99: expected a stream of this database, got none'
    await expect(planFile(db, { streamId: 99, file, initiatedBy: 'test' })).rejects.toThrow(missing)
    await expect(withdrawFile(db, { streamId: 99, name: NAME, ...by })).rejects.toThrow(missing)
    await expect(holdStream(db, { stream: { streamId: 99, name: 'alpaca/bars/SPX/1d' }, ...by })).rejects.toThrow(
      missing,
    )
    await expect(freeStream(db, { stream: { streamId: 99, name: 'alpaca/bars/SPX/1d' }, ...by })).rejects.toThrow(
      missing,
    )
    await plan({ ...GOOD, name: 'never-copied.csv' }, seen)
    for (const name of ['../raw/x', NAME, 'never-copied.CSV']) {
      await expect(withdrawFile(db, { streamId, name, ...by })).rejects.toThrow(
        `file ${name}: expected a version that is neither superseded nor withdrawn, got none`,
      )
    }
    expect(await bench.query('select count(*) as n from ops.audit')).toEqual([{ n: 0 }])
    expect(await withdrawFile(db, { streamId, name: 'never-copied.csv', ...by })).toEqual({ versions: 1, rebuilds: [] })
    await bench.settle()
    expect(await bench.query('select state from provenance.source_ingest')).toEqual([{ state: 'cancelled' }])
  })
})
