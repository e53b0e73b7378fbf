import { afterEach, describe, expect, test } from 'vitest'
import { selectStream, selectStreams } from '../../shared/ingest/plan/select-streams.ts'
import { type RunReport, type RunStep, runStreams } from '../../shared/ingest/run-stream.ts'
import { holdStream } from '../../shared/ingest/state/hold.ts'
import { pauseStream } from '../../shared/ingest/state/pause.ts'
import { useTestEnvironment } from '../support/environment.ts'
import {
  openWorkbench,
  type StreamEntry,
  TWO_YEARS,
  type Workbench,
  type WorkbenchOptions,
} from '../support/workbench.ts'
import { openLedger } from './ledger.ts'

const OTHER: StreamEntry = { ...TWO_YEARS, params: { symbol: 'SPX', timeframe: '1d', subject: 'OTHER' } }
const SPX = 'alpaca/bars/SPX/1d'

describe('a run of a stream', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const services = async () => ({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  })
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const bench = await openWorkbench({ ...(await services()), ...options })
    opened.push(bench)
    await bench.plan()
    await bench.query('delete from provenance.source_ingest')
    return bench
  }
  const run = async (
    bench: Workbench,
    options: { name?: string; signal?: AbortSignal; timeoutMs?: number; onStep?: (step: RunStep) => void } = {},
  ): Promise<RunReport> => {
    const { name = SPX, signal = new AbortController().signal, timeoutMs = 60_000, onStep = () => undefined } = options
    const streams = await selectStreams(bench.platform.db, name)
    return runStreams(bench.platform, { streams, signal, timeoutMs, onStep })
  }
  const rows = (bench: Workbench) => bench.query('select count(*), sum(rows)::bigint as rows from curated.partition')

  test('plans, lands and curates all that is due, before its interval has passed', async () => {
    const bench = await open()
    const [due] = await bench.query('select next_plan_at > now() as waits from ingest.stream')
    expect(due).toEqual({ waits: true })
    await bench.query(`update ingest.stream set planned_until = '2002-01-01'`)
    const report = await run(bench)
    expect(report).toMatchObject({ end: 'published', planned: 1, worked: { landed: 1, published: 1 }, left: [] })
    expect(await rows(bench)).toEqual([{ count: 2, rows: 500 }])
  })

  test('a second time finds nothing to do and asks the provider nothing', async () => {
    const bench = await open()
    await run(bench)
    const asked = bench.simulator.requests.length
    expect(await run(bench)).toMatchObject({ end: 'published', planned: 0, worked: {} })
    expect(bench.simulator.requests.length).toBe(asked)
  })

  test('works through a history longer than one plan takes', async () => {
    const bench = await open({ streams: [{ ...TWO_YEARS, origin: '2000-01-03', until: '2020-04-18' }] })
    await bench.query('update ingest.stream set max_window_s = 86400 * 366')
    expect(await run(bench)).toMatchObject({ end: 'published', planned: 21 })
    expect(await rows(bench)).toEqual([{ count: 21, rows: 5105 }])
  })

  test('leaves other streams alone', async () => {
    const bench = await open({ streams: [TWO_YEARS, OTHER] })
    await run(bench)
    const planned = await bench.query(
      'select distinct s.subject from provenance.source_ingest join ingest.stream s using (stream_id)',
    )
    expect(planned).toEqual([{ subject: 'SPX' }])
  })

  test('takes several streams at once', async () => {
    const bench = await open({ streams: [TWO_YEARS, OTHER] })
    const report = await run(bench, { name: 'alpaca/*' })
    expect(report).toMatchObject({ end: 'published', worked: { published: 2 } })
    expect(report.streams.map(({ stream }) => stream)).toEqual(['alpaca/bars/OTHER/1d', SPX])
  })

  test('takes files that are planned, and the rebuilds that follow', async () => {
    const books = await openLedger(await services())
    opened.push(books.bench)
    await books.drop({ lines: ['2020-01-02,1', '2020-01-03,1'], modifiedAt: '2020-02-03T08:00:00Z' })
    await run(books.bench, { name: 'ledger/*' })
    await books.drop({ lines: ['2020-01-02,2'], modifiedAt: '2020-02-04T08:00:00Z' })
    expect(await run(books.bench, { name: 'ledger/*' })).toMatchObject({
      end: 'published',
      worked: { landed: 1, published: 2 },
    })
    expect(await books.rows()).toEqual(['2020-01-02 2'])
  })

  test('ends incomplete, naming the ingest and its error, where a window failed', async () => {
    const bench = await open({ simulator: { faults: () => ({ kind: 'error', status: 404 }) } })
    const report = await run(bench)
    expect(report).toMatchObject({ end: 'incomplete', worked: { failed: 1 } })
    expect(report.left).toMatchObject([{ stream: SPX, state: 'failed', errorClass: 'PermanentError' }])
  })

  test('waits for the next attempt of what may pass', async () => {
    const bench = await open({ http: { timeoutMs: 5_000, triesMax: 1 } })
    bench.simulator.setFaults([{ kind: 'error', status: 503 }])
    expect(await run(bench)).toMatchObject({ end: 'published', worked: { retry: 1, landed: 1, published: 1 } })
  })

  test('a failure that outlasts the timeout is left to its next attempt', async () => {
    const bench = await open({ http: { timeoutMs: 5_000, triesMax: 1 } })
    bench.simulator.setFaults(() => ({ kind: 'error', status: 503 }))
    const report = await run(bench, { timeoutMs: 1_500 })
    expect(report.end).toBe('incomplete')
    expect(report.left).toMatchObject([{ state: 'planned', lane: 'live' }])
  })

  test('says that only the quota is waited for', async () => {
    const bench = await open()
    const [source] = [...bench.platform.sources.values()].filter(({ id }) => id === 'alpaca')
    if (source?.kind !== 'provider') throw new Error('expected alpaca')
    await bench.platform.budgets.reserve(bench.platform.db, source.budget, 'live')
    await bench.platform.budgets.block(bench.platform.db, source.budget, 3_600_000)
    const report = await run(bench, { timeoutMs: 5_000 })
    expect(report).toMatchObject({ end: 'quota', timedOut: false, worked: { 'given-back': 1 } })
  })

  test.each([
    [
      'paused',
      async (bench: Workbench) =>
        pauseStream(bench.platform.db, {
          stream: await selectStream(bench.platform.db, SPX),
          reason: 'new key',
          actor: 'ada',
        }),
      { pausedReason: 'new key' },
    ],
    [
      'held',
      async (bench: Workbench) =>
        holdStream(bench.platform.db, {
          stream: { streamId: 1, name: 'alpaca/bars/SPX/1d' },
          reason: 'schema',
          actor: 'guard',
        }),
      { heldReason: 'schema' },
    ],
  ])('of a stream that is %s ends incomplete and says so', async (_what, prepare, shown) => {
    const bench = await open()
    await prepare(bench)
    expect(await run(bench)).toMatchObject({ end: 'incomplete', streams: [shown] })
    expect(await bench.query('select count(*) from curated.partition')).toEqual([{ count: 0 }])
  })

  test('told to stop gives back what it holds; the next one goes on', async () => {
    const bench = await open()
    const stopping = new AbortController()
    const report = await run(bench, {
      signal: stopping.signal,
      onStep: ({ worked }) => worked === 'landed' && stopping.abort(),
    })
    expect(report).toMatchObject({ end: 'stopped', worked: { landed: 1 } })
    expect(await bench.query('select state, attempts from provenance.source_ingest')).toEqual([
      { state: 'landed', attempts: 0 },
    ])
    expect(await run(bench)).toMatchObject({ end: 'published', worked: { published: 1 } })
  })

  test('takes over what a killed worker held, once its lease has run out', async () => {
    const bench = await open({ env: { TRIBUTARY_LEASE_SECONDS: '3' } })
    await bench.plan()
    await bench.query(`delete from provenance.source_ingest`)
    await bench.query(`update ingest.stream set next_plan_at = null`)
    await bench.plan()
    await bench.query(
      `update provenance.source_ingest set state = 'landing', epoch = 1, attempts = 1, claimed_by = 'gone/1', lease_expires_at = now() + interval '1 second'`,
    )
    expect(await run(bench)).toMatchObject({ end: 'published', planned: 0 })
  })

  test('beside functions on the same streams does nothing twice', async () => {
    const bench = await open({ streams: [{ ...TWO_YEARS, origin: '2000-01-03', until: '2010-01-01' }] })
    await bench.query('update ingest.stream set max_window_s = 86400 * 366, next_plan_at = null')
    await bench.plan()
    const [report] = await Promise.all([run(bench), bench.drain({ atOnce: 2 })])
    expect(report.end).toBe('published')
    const [sums] = await bench.query(
      'select sum(inserted)::bigint as inserted, sum(updated)::bigint as updated from provenance.source_ingest',
    )
    const [there] = await bench.query<{ rows: number }>('select sum(rows)::bigint as rows from curated.partition')
    expect(sums).toEqual({ inserted: there?.rows, updated: 0 })
  })

  test("leaves a backfill's windows to its job", async () => {
    const bench = await open()
    await bench.query(
      `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by)
       select gen_random_uuid(), stream_id, 'backfill', origin, until, params, 'test' from ingest.stream`,
    )
    expect(await run(bench)).toMatchObject({ end: 'published', planned: 0, worked: {}, left: [] })
    expect(await bench.query('select state from provenance.source_ingest')).toEqual([{ state: 'planned' }])
  })

  test('of an ingest that only a newer worker may touch ends incomplete', async () => {
    const bench = await open()
    await bench.query('update ingest.stream set next_plan_at = null')
    await bench.plan()
    await bench.query('update provenance.source_ingest set transform_version = 99')
    expect(await run(bench)).toMatchObject({
      end: 'incomplete',
      timedOut: false,
      worked: { refused: 1 },
      left: [{ state: 'planned' }],
    })
  })

  test('without the settings of its source says which are missing, and plans nothing', async () => {
    const bench = await open({ env: { ALPACA_KEY_ID: '' } })
    await expect(run(bench)).rejects.toThrow('source alpaca: expected the settings ALPACA_KEY_ID, got none')
    expect(await bench.query('select count(*) from provenance.source_ingest')).toEqual([{ count: 0 }])
  })
})
