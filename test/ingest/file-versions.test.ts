import { afterEach, describe, expect, test } from 'vitest'
import { withdrawFile } from '../../shared/ingest/plan/withdraw-file.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type LedgerBench, NAME, openLedger } from './ledger.ts'

const MONDAY = '2020-02-03T08:00:00Z'
const TUESDAY = '2020-02-04T08:00:00Z'
const BY = { actor: 'test', reason: 'wrong books' }

describe('files as ingests', () => {
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

  test('a file is copied to raw, observed at its change time, and its rows are published with exact counts', async () => {
    const { bench, drop, rows } = await open()
    expect(
      await drop({ lines: ['2020-01-02,1', '2021-01-02,2', 'x,3'].slice(0, 2), modifiedAt: MONDAY }),
    ).toMatchObject({
      kind: 'planned',
      version: 1,
    })
    await bench.settle()
    expect(await rows()).toEqual(['2020-01-02 1', '2021-01-02 2'])
    const [ingest] = await bench.query(
      `select state, lane, lo, records, inserted, rejected, outside, checkpoint_after::text as checkpoint
         from provenance.source_ingest`,
    )
    expect(ingest).toEqual({
      state: 'published',
      lane: 'import',
      lo: null,
      records: 2,
      inserted: 2,
      rejected: 0,
      outside: 0,
      checkpoint: '2000-01-01 00:00:00+00',
    })
    const [page] = await bench.query<{ path: string; observed: boolean; status: number | null }>(
      `select path, observed_at = $1::timestamptz as observed, http_status as status from provenance.raw_page`,
      [MONDAY],
    )
    expect(page).toMatchObject({ observed: true, status: null })
    expect(page?.path).toMatch(
      /^vendor=ledger\/dataset=observations\/symbol=A\/year=2020\/month=02\/.*_e1_p0\.csv\.gz$/,
    )
    const blob = await bench.platform.raw.head(page?.path ?? '')
    expect(blob?.metadata).toMatchObject({ filename: encodeURIComponent(NAME), fileversion: '1' })
  })

  test('a new version replaces the older one whole, also where it is the older file', async () => {
    const { bench, drop, rows, versions, rebuilds } = await open()
    await drop({ lines: ['2020-01-02,1', '2020-01-03,1', '2021-01-04,1'], modifiedAt: TUESDAY })
    await bench.settle()
    await drop({ lines: ['2020-01-02,2', '2020-01-05,2'], modifiedAt: MONDAY })
    await bench.settle()
    expect(await rows()).toEqual(['2020-01-02 2', '2020-01-05 2'])
    expect(await versions()).toEqual([`${NAME} v1 published by v2`, `${NAME} v2 published`])
    // The merge had already brought in the 5th; the rebuilds take out the 3rd and the whole of 2021.
    expect(await rebuilds()).toEqual([
      { state: 'published', inserted: 0, updated: 1, unchanged: 1, removed: 1, initiatedBy: 'superseded' },
      { state: 'published', inserted: 0, updated: 0, unchanged: 0, removed: 1, initiatedBy: 'superseded' },
    ])
  })

  test('a partition that nothing current reaches is an empty file, never a missing one', async () => {
    const { bench, drop, rows } = await open()
    await drop({ lines: ['2020-01-02,1'], modifiedAt: MONDAY })
    await bench.settle()
    await drop({ lines: [], modifiedAt: TUESDAY })
    await bench.settle()
    expect(await rows()).toEqual([])
    expect(await bench.query('select rows, blob_version as version from curated.partition')).toEqual([
      { rows: 0, version: 2 },
    ])
  })

  test('of two files with one key the newer change time wins, in whatever order they were taken', async () => {
    for (const order of [
      [MONDAY, TUESDAY],
      [TUESDAY, MONDAY],
    ]) {
      const { bench, drop, rows } = await open()
      for (const modifiedAt of order) {
        await drop({ name: `${modifiedAt}.csv`, lines: [`2020-01-02,${modifiedAt === TUESDAY ? 2 : 1}`], modifiedAt })
        await bench.settle()
      }
      expect(await rows()).toEqual(['2020-01-02 2'])
    }
  })

  test('of two files changed in the same instant the one with the greater hash wins, in whatever order', async () => {
    const winners = new Set<string>()
    for (const order of [
      ['1', '2'],
      ['2', '1'],
    ]) {
      const { bench, drop, rows } = await open()
      for (const value of order) {
        await drop({ name: `${value}.csv`, lines: [`2020-01-02,${value}`], modifiedAt: MONDAY })
        await bench.settle()
      }
      winners.add((await rows()).join())
    }
    expect(winners.size).toBe(1)
  })

  test('any number of files are under way beside each other, and each is published', async () => {
    const { bench, drop, rows } = await open()
    for (let day = 1; day <= 9; day++) {
      await drop({ name: `${day}.csv`, lines: [`2020-01-0${day},${day}`], modifiedAt: MONDAY })
    }
    await bench.sweep()
    await bench.drain({ atOnce: 9, twice: true })
    await bench.settle()
    expect(await rows()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((day) => `2020-01-0${day} ${day}`))
  })

  test('the same blob is not read again; the same content is skipped and supersedes what came after it', async () => {
    const { bench, drop, put, plan, rows, versions } = await open()
    const first = { lines: ['2020-01-02,1'], modifiedAt: MONDAY }
    const seen = await put(first)
    expect(await plan(first, seen)).toMatchObject({ kind: 'planned', version: 1 })
    expect(await plan(first, seen)).toEqual({ kind: 'known', version: 1 })
    await bench.settle()
    const failing = { lines: ['x,1'], modifiedAt: TUESDAY }
    await drop(failing)
    await bench.settle()
    expect(await versions()).toEqual([`${NAME} v1 published`, `${NAME} v2 failed`])
    expect(await drop({ ...first, modifiedAt: TUESDAY })).toEqual({ kind: 'current', version: 1, rebuilds: [] })
    expect(await versions()).toEqual([`${NAME} v1 published`, `${NAME} v2 failed by v1`])
    expect(await rows()).toEqual(['2020-01-02 1'])
  })

  test('content that landed and failed waits for other content', async () => {
    const { bench, drop } = await open()
    await drop({ lines: ['x,1'], modifiedAt: MONDAY })
    await bench.settle()
    expect(await drop({ lines: ['x,1'], modifiedAt: TUESDAY })).toEqual({ kind: 'waits', version: 1 })
    expect(await drop({ lines: ['2020-01-02,1'], modifiedAt: TUESDAY })).toMatchObject({ kind: 'planned', version: 2 })
    await bench.settle()
  })

  test('a version that was replaced before it could be copied is cancelled, and the one there now is taken', async () => {
    const { bench, drop, put, plan, rows, versions } = await open()
    await drop({ lines: ['2020-01-02,1'], modifiedAt: MONDAY })
    const now = { lines: ['2020-01-02,2'], modifiedAt: TUESDAY }
    const seen = await put(now)
    await bench.settle()
    expect(await versions()).toEqual([`${NAME} v1 cancelled`])
    expect(await bench.query(`select count(*) from provenance.raw_page`)).toEqual([{ count: 0 }])
    expect(await plan(now, seen)).toMatchObject({ kind: 'planned', version: 2 })
    await bench.settle()
    expect(await rows()).toEqual(['2020-01-02 2'])
  })

  test('a file that is none of its source is quarantined with what was expected, its bytes kept', async () => {
    const { bench, drop } = await open()
    await drop({ lines: ['not a ledger'], modifiedAt: MONDAY })
    await bench.sweep()
    await bench.drain()
    expect(await bench.query('select state, error_summary from provenance.source_ingest')).toEqual([
      {
        state: 'quarantined',
        error_summary: `file ${NAME}: expected dates and values, got not a ledger`,
      },
    ])
    expect(await bench.query('select count(*) from provenance.raw_page where record_count is null')).toEqual([
      { count: 1 },
    ])
  })

  test('a file that is too large is quarantined before it is read', async () => {
    const { bench, put, plan } = await open()
    const file = { lines: ['2020-01-02,1'], modifiedAt: MONDAY }
    await plan(file, { ...(await put(file)), bytes: 10_001 })
    await bench.sweep()
    await bench.drain()
    expect(await bench.query('select state, error_summary from provenance.source_ingest')).toEqual([
      { state: 'quarantined', error_summary: `file ${NAME}: expected at most 10000 bytes, got 10001` },
    ])
  })

  test('withdrawing takes every version back; the same content put again is a new version', async () => {
    const { bench, streamId, drop, rows, versions } = await open()
    await drop({ lines: ['2020-01-02,1'], modifiedAt: MONDAY })
    await bench.settle()
    const other = { name: 'other.csv', lines: ['2020-01-02,7', '2020-01-03,7'], modifiedAt: '2020-01-01T00:00:00Z' }
    await drop(other)
    await bench.settle()
    expect(await rows()).toEqual(['2020-01-02 1', '2020-01-03 7'])
    const marked = await withdrawFile(bench.platform.db, { streamId, name: NAME, ...BY })
    expect(marked).toMatchObject({ versions: 1, rebuilds: [expect.any(String)] })
    await bench.settle()
    // The row that mine had won over comes back in the same PUT.
    expect(await rows()).toEqual(['2020-01-02 7', '2020-01-03 7'])
    expect(await bench.query('select actor, action, subject, after from ops.audit')).toEqual([
      { actor: 'test', action: 'withdraw_file', subject: NAME, after: { reason: BY.reason, ...marked } },
    ])
    expect(await drop({ lines: ['2020-01-02,1'], modifiedAt: MONDAY })).toMatchObject({ kind: 'planned', version: 2 })
    await bench.settle()
    expect(await versions()).toEqual([
      `${NAME} v1 published withdrawn`,
      `${NAME} v2 published`,
      'other.csv v1 published',
    ])
    expect(await rows()).toEqual(['2020-01-02 1', '2020-01-03 7'])
  })

  test('withdrawing what nobody knows, or what is withdrawn, is refused', async () => {
    const { bench, streamId, drop } = await open()
    await drop({ lines: ['2020-01-02,1'], modifiedAt: MONDAY })
    await bench.settle()
    const withdraw = (name: string) => withdrawFile(bench.platform.db, { streamId, name, ...BY })
    await withdraw(NAME)
    for (const name of [NAME, 'unknown.csv']) {
      await expect(withdraw(name)).rejects.toThrow(
        `file ${name}: expected a version that is neither superseded nor withdrawn, got none`,
      )
    }
    await bench.settle()
  })
})
