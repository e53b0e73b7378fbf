import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { barSeriesOf, type Revise, revisedSeries } from '../../jobs/local/providers/bar-series.ts'
import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { planLookbacks } from '../../shared/ingest/plan/plan-lookback.ts'
import { planLookbackTick } from '../../shared/ingest/plan/plan-lookback-tick.ts'
import { type Claim, claimToLand } from '../../shared/ingest/state/claim.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { WindowTooLargeError } from '../../shared/ingest/state/split.ts'
import { formatDate } from '../../shared/instant.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { readLake } from '../support/lake-state.ts'
import { openWorkbench } from '../support/workbench.ts'
import { DAY_S, type Row, requestOf, useGround } from './ground.ts'

const RUN = { initiatedBy: 'test', pipelineRunId: null }

/**
 * The last sixty sessions of the data, moved by whole weeks until the newest was at most ten days ago. The stream ends
 * with it, so that no midnight in the middle of the test makes another window.
 */
function recentMarket() {
  const sessions = loadSessions().slice(-60)
  const newest = sessions.at(-1)?.date ?? 0
  const weeks = Math.floor((Date.now() / 1000 / DAY_S - 3 - newest) / 7)
  const dates = sessions.map(({ date }) => date + weeks * 7)
  return {
    sessions: sessions.map((session, index) => ({ ...session, date: dates[index] ?? 0 })),
    first: dates[0] ?? 0,
    end: (dates.at(-1) ?? 0) + 1,
  }
}

describe('what a provider corrects after it was ingested', () => {
  const environment = useTestEnvironment()

  test('is found by the next lookback: a corrected bar and one that came late', async () => {
    const { sessions, first, end } = recentMarket()
    const [late = 0, corrected = 0] = sessions.slice(-3).map(({ date }) => date * DAY_S)
    let asFirstPublished = true
    const revise: Revise = (bar) => {
      const date = bar.atS - (bar.atS % DAY_S)
      if (asFirstPublished && date === late) return undefined
      return asFirstPublished && date === corrected ? { ...bar, volume: Math.floor(bar.volume / 2) } : bar
    }
    const bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      simulator: { series: revisedSeries(barSeriesOf('SPX', sessions), revise) },
      streams: [
        {
          source: 'alpaca',
          dataset: 'bars',
          params: { symbol: 'SPX', timeframe: '1d' },
          origin: formatDate(first),
          until: formatDate(end),
          every: '15m',
          lookback: '30d',
        },
      ],
    })
    onTestFinished(() => bench.close())
    await bench.settle()
    expect(await readLake(bench.platform)).toMatchObject({ rows: 59 })

    asFirstPublished = false
    const asked = bench.simulator.requests.length
    await bench.settle()
    expect(bench.simulator.requests).toHaveLength(asked)

    expect((await planLookbackTick(bench.platform)).planned).toHaveLength(1)
    expect(await bench.drain()).toEqual(['landed', 'published'])
    expect(await readLake(bench.platform)).toEqual({ rows: 60, duplicateKeys: 0, wrongHashes: [] })
    const again = sessions.filter(({ date }) => date >= end - 30).length
    expect(
      await bench.query(
        `select lane, records, inserted, updated, unchanged, superseded from provenance.source_ingest
          where lane = 'lookback'`,
      ),
    ).toEqual([{ lane: 'lookback', records: again, inserted: 1, updated: 1, unchanged: again - 2, superseded: 0 }])
    const [stream] = (await readStatus(bench.platform.db)).streams
    expect(stream).toMatchObject({
      head: `${formatDate(end)}T00:00:00Z`,
      holes: [],
      lookback: {
        lo: `${formatDate(end - 30)}T00:00:00Z`,
        hi: `${formatDate(end)}T00:00:00Z`,
        state: 'published',
        inserted: 1,
        updated: 1,
        finishedAt: expect.stringMatching(/Z$/),
      },
    })
    expect((await planLookbackTick(bench.platform)).planned).toEqual([])
  })
})

/** Published until 2020-03-01, of which three days may still be corrected. */
const PUBLISHED = '{[2020-01-01,2020-03-01)}'
const STREAM = { lookback_s: 3 * DAY_S, fetched: PUBLISHED, published: PUBLISHED, until: '2020-06-01' }
/** A lookback that is through. */
const DONE = { lane: 'lookback', state: 'published', planned_at: '2020-03-02' }

describe('the planner of lookbacks', () => {
  const ground = useGround()
  beforeAll(() => ground.platform.queues.ensure('land'))
  beforeEach(() => ground.clear())
  const plan = () => planLookbacks(ground.platform.db, RUN)
  const set = (assignment: string) => ground.query(`update ingest.stream set ${assignment}`)
  const due = () => set('next_lookback_at = null')
  /** `02-27/03-01`, the newest first: what waits to be read again. */
  const planned = async () => {
    const rows = await ground.query<{ line: string }>(
      `select to_char(lo, 'MM-DD') || '/' || to_char(hi, 'MM-DD') as line
         from provenance.source_ingest where lane = 'lookback' and state = 'planned' order by hi desc`,
    )
    return rows.map(({ line }) => line)
  }

  test('reads the lookback before the head again, and remembers the head', async () => {
    await ground.stream(STREAM)
    const [id = ''] = (await plan()).planned
    expect(await ground.ingestRow(id)).toMatchObject({
      lane: 'lookback',
      state: 'planned',
      lo: '2020-02-27T00:00:00+00:00',
      hi: '2020-03-01T00:00:00+00:00',
      planned_head: '2020-03-01T00:00:00+00:00',
      parameters: { timeframe: '1d', feed: 'iex' },
    })
  })

  test('a head that jumps leaves nothing out: it counts back from the head of the newest lookback that is through', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...DONE, lo: '2020-02-07', hi: '2020-02-10', planned_head: '2020-02-10' })
    await ground.ingest(id, {
      ...DONE,
      lo: '2020-02-12',
      hi: '2020-02-15',
      planned_head: '2020-02-15',
      planned_at: '2020-03-03',
    })
    await ground.ingest(id, { ...DONE, state: 'failed', planned_head: '2020-02-20', planned_at: '2020-03-04' })
    await ground.ingest(id, { ...DONE, state: 'cancelled', planned_head: '2020-02-25', planned_at: '2020-03-05' })
    await plan()
    expect(await planned()).toEqual(['02-20/03-01', '02-12/02-20'])
  })

  test('an empty lookback is through, too', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...DONE, state: 'empty', lo: '2020-02-17', hi: '2020-02-20', planned_head: '2020-02-20' })
    await plan()
    expect(await planned()).toEqual(['02-20/03-01', '02-17/02-20'])
  })

  test('a head that went back, with its coverage, is counted from where it is', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...DONE, lo: '2020-03-07', hi: '2020-03-10', planned_head: '2020-03-10' })
    await plan()
    expect(await planned()).toEqual(['02-27/03-01'])
  })

  test.each(['planned', 'landing', 'landed', 'curating'])(
    'leaves out the window of an ingest that is %s',
    async (state) => {
      const id = await ground.stream({ ...STREAM, lookback_s: 10 * DAY_S })
      await ground.ingest(id, { lane: 'backfill', state, lo: '2020-02-22', hi: '2020-02-25', landed_epoch: 1 })
      await plan()
      expect(await planned()).toEqual(['02-25/03-01', '02-20/02-22'])
    },
  )

  test.each(['failed', 'quarantined', 'cancelled', 'published'])(
    'reads again what an ingest covered that is %s',
    async (state) => {
      const id = await ground.stream(STREAM)
      await ground.ingest(id, { state, lo: '2020-02-22', hi: '2020-03-01', landed_epoch: 1 })
      await plan()
      expect(await planned()).toEqual(['02-27/03-01'])
    },
  )

  test('holes inside the range are not its own: they are the live lane’s or a person’s', async () => {
    const published = '{[2020-01-01,2020-02-21),[2020-02-23,2020-03-01)}'
    await ground.stream({ ...STREAM, lookback_s: 10 * DAY_S, published, accepted: '{[2020-02-21,2020-02-22)}' })
    await plan()
    expect(await planned()).toEqual(['02-23/03-01', '02-20/02-21'])
  })

  test('cuts at the largest window, from the newest end', async () => {
    await ground.stream({ ...STREAM, lookback_s: 25 * DAY_S })
    const rows = await Promise.all((await plan()).planned.map((id) => ground.ingestRow(id)))
    expect(rows.map(({ lo, hi }) => `${lo?.slice(5, 10)}/${hi?.slice(5, 10)}`)).toEqual([
      '02-20/03-01',
      '02-10/02-20',
      '02-05/02-10',
    ])
  })

  test('ends at the origin and at what the provider keeps', async () => {
    await ground.stream({ ...STREAM, origin: '2020-02-20', lookback_s: 100 * DAY_S })
    await plan()
    expect(await planned()).toEqual(['02-20/03-01'])
    await ground.clear()
    await ground.stream({ ...STREAM, retention_s: 100 * DAY_S, lookback_s: 100 * DAY_S })
    expect((await plan()).planned).toEqual([])
  })

  test.each([
    ['a day, less an hour', DAY_S, 82_800],
    ['an hour, less a tenth', 3600, 3240],
  ])('is due again after its interval and a little earlier: %s', async (_name, lookback_every_s, afterS) => {
    await ground.stream({ ...STREAM, lookback_every_s })
    expect((await plan()).planned).toHaveLength(1)
    const [next] = await ground.query(
      `select extract(epoch from s.next_lookback_at - i.planned_at)::int as "afterS"
         from ingest.stream s join provenance.source_ingest i using (stream_id)`,
    )
    expect(next).toEqual({ afterS })
    await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
    expect((await plan()).planned).toEqual([])
    await set(`next_lookback_at = now() - interval '1 second'`)
    expect((await plan()).planned).toHaveLength(1)
  })

  test.each([
    ['without a lookback', { lookback_s: 0 }],
    ['paused', { paused: true, paused_reason: 'by hand' }],
    ['made by an import', { managed_by: 'import', interval_s: null }],
    ['of which nothing is published', { published: '{}' }],
  ])('leaves out a stream %s', async (_why, columns: Row) => {
    await ground.stream({ ...STREAM, ...columns })
    expect((await plan()).planned).toEqual([])
  })

  test('a lookback that was turned off does not come back, however the head has moved', async () => {
    const id = await ground.stream({ ...STREAM, lookback_s: 0 })
    await ground.ingest(id, { ...DONE, lo: '2020-02-07', hi: '2020-02-10', planned_head: '2020-02-10' })
    expect((await plan()).planned).toEqual([])
  })

  test('a stream of which nothing was published is due as soon as something is', async () => {
    await ground.stream({ ...STREAM, published: '{}' })
    await plan()
    await set(`published = '${PUBLISHED}'`)
    expect((await plan()).planned).toHaveLength(1)
  })

  test.each([
    ['before it could be corrected to its end', { started_at: '2020-03-03T23:59:59Z' }, 1],
    ['after that', { started_at: '2020-03-04' }, 0],
    ['after that, and was empty', { started_at: '2020-03-04', state: 'empty' }, 0],
    ['after that, and failed', { started_at: '2020-03-04', state: 'failed' }, 1],
    ['after that, and does not reach the end', { started_at: '2020-03-04', hi: '2020-02-29' }, 1],
  ])('a stream at its end whose last ingest started %s is planned: %#', async (_when, columns: Row, count) => {
    const id = await ground.stream({ ...STREAM, until: '2020-03-01' })
    await ground.ingest(id, { state: 'published', lo: '2020-02-20', hi: '2020-03-01', ...columns })
    expect((await plan()).planned).toHaveLength(count)
  })

  test('neither lane waits for the other, or for an old hole', async () => {
    const columns = { fetched: '{[2020-01-11,2020-03-01)}', published: '{[2020-01-11,2020-03-01)}' }
    const id = await ground.stream({ ...STREAM, ...columns, until: '2020-03-05' })
    await ground.ingest(id, { state: 'failed' })
    await ground.ingest(id, { state: 'landing', lo: '2020-03-01', hi: '2020-03-03' })
    await plan()
    expect(await planned()).toEqual(['02-27/03-01'])
    expect((await planWindows(ground.platform.db, RUN)).planned).toHaveLength(1)
    expect(
      await ground.query(`select lo::text from provenance.source_ingest where state = 'planned' and lane = 'live'`),
    ).toEqual([{ lo: '2020-03-03 00:00:00+00' }])
  })

  test('several planners at once plan every window once and none of them fails', async () => {
    for (let count = 0; count < 40; count++) await ground.stream({ ...STREAM, lookback_s: 12 * DAY_S })
    const workers = [ground.platform, ground.openWorker(), ground.openWorker()]
    const results = await Promise.all(workers.flatMap(({ db }) => [planLookbacks(db, RUN), planLookbacks(db, RUN)]))
    expect(results.flatMap((result) => result.planned)).toHaveLength(80)
    expect(await ground.query(`select count(*) as windows from provenance.source_ingest`)).toEqual([{ windows: 80 }])
  })

  test('goes through more streams than one transaction locks', async () => {
    await ground.query(`
      insert into ingest.stream (source, dataset, params, params_key, subject, timeframe, curated_root, origin,
             interval_s, granularity_s, max_window_s, settle_lag_s, lookback_s, published)
      select 'alpaca', 'bars', '{}', n::text, 'S' || n, '1d', 'root' || n, '2020-01-01', 900, 86400, 864000, 0, 259200,
             '${PUBLISHED}' from generate_series(1, 501) n`)
    const result = await plan()
    expect(result).toMatchObject({ streams: 501 })
    expect(new Set(result.planned).size).toBe(501)
  })

  test('is a pipeline run whose windows are hinted to land', async () => {
    await ground.stream(STREAM)
    const { planned: ids } = await planLookbackTick(ground.platform)
    expect(await ground.query('select job, status from ops.pipeline_runs')).toEqual([
      { job: 'plan-lookbacks', status: 'success' },
    ])
    const messages = await ground.platform.queues.receive('land', { countMax: 32, visibilitySeconds: 300 })
    expect(messages.map(({ body }) => JSON.parse(body ?? ''))).toEqual([{ v: 1, sourceIngestId: ids[0] }])
    const [row] = await ground.query(
      `select queued_at is not null as queued, pipeline_run_id is not null as "ofRun" from provenance.source_ingest`,
    )
    expect(row).toEqual({ queued: true, ofRun: true })
  })

  test('the halves of one that was split count as its pieces, with its head', async () => {
    await ground.stream(STREAM)
    const [id = ''] = (await planLookbackTick(ground.platform)).planned
    const claim = await claimToLand(ground.platform.db, requestOf(ground.platform, id))
    expect(await settle(ground.platform, claim as Claim, new WindowTooLargeError('too large'))).toBe('split')
    const [halves] = await ground.query(
      `select count(*) as n from provenance.source_ingest h join provenance.source_ingest p on p.source_ingest_id = h.split_of
        where (h.planned_head, h.planned_at, h.pipeline_run_id) = (p.planned_head, p.planned_at, p.pipeline_run_id)`,
    )
    expect(halves).toEqual({ n: 2 })
    expect((await readStatus(ground.platform.db)).streams[0]?.lookback).toMatchObject({
      state: 'planned',
      lo: '2020-02-27T00:00:00Z',
      hi: '2020-03-01T00:00:00Z',
    })
    await ground.query(`update provenance.source_ingest set state = 'published' where split_of is not null`)
    expect((await readStatus(ground.platform.db)).streams[0]?.lookback).toMatchObject({ state: 'published' })
  })

  test('a window that failed is planned again by the next one, which counts back from before it', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...DONE, lo: '2020-02-07', hi: '2020-02-10', planned_head: '2020-02-10' })
    await plan()
    const first = await planned()
    await ground.query(`update provenance.source_ingest set state = 'failed' where state = 'planned'`)
    await due()
    await plan()
    expect(await planned()).toEqual(first)
  })
})
