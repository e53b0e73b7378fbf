import { beforeEach, describe, expect, test } from 'vitest'
import { type BackfillRequest, planBackfill } from '../../shared/ingest/backfill/plan.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { formatInstant, type Instant, instantOfDate, parseDate } from '../../shared/instant.ts'
import { DAY_S, type Row, useGround } from './ground.ts'

const at = (text: string) => instantOfDate(parseDate(text) ?? 0)
/** Five years in one window, so that files, which hold years, are whole. */
const YEARS = { origin: '2010-01-01', max_window_s: 366 * DAY_S }
/** Live has fetched it since 2015; what is older waits. */
const SINCE_2015 = { ...YEARS, fetched: '{[2015-01-01,2016-01-01)}' }

describe('the plan of a backfill', () => {
  const ground = useGround()
  beforeEach(async () => {
    await ground.clear()
    await ground.query('delete from ingest.backfill')
  })

  const plan = (request: Partial<Omit<BackfillRequest, 'from' | 'to'>> & { from?: string; to?: string } = {}) => {
    const { from, to, ...rest } = request
    return planBackfill(ground.platform, {
      streams: ['*'],
      step: null,
      newestFirst: false,
      again: false,
      dryRun: false,
      actor: 'ada',
      ...rest,
      from: from === undefined ? null : at(from),
      to: to === undefined ? null : at(to),
    })
  }
  /** `2010-01-01/2011-01-01`, in the order of time. */
  const planned = async () => {
    const rows = await ground.query<{ line: string }>(
      `select to_char(lo, 'YYYY-MM-DD') || '/' || to_char(hi, 'YYYY-MM-DD') as line
         from provenance.source_ingest where lane = 'backfill' and state = 'planned' order by lo`,
    )
    return rows.map(({ line }) => line)
  }
  const leftOut = (plan: { leftOut: readonly { lo: Instant | null; hi: Instant | null; reason: string }[] }) =>
    plan.leftOut.map(({ lo, hi, reason }) =>
      [lo, hi].map((end) => end && formatInstant(end).slice(0, 10)).concat(reason),
    )

  test('is one window per partition, up to what the lane live has fetched', async () => {
    await ground.stream(SINCE_2015)
    const { backfillId, windows } = await plan({ from: '2012-01-01' })
    expect(await planned()).toEqual(['2012-01-01/2013-01-01', '2013-01-01/2014-01-01', '2014-01-01/2015-01-01'])
    expect(windows).toBe(3)
    expect(
      await ground.query(
        `select distinct i.lane, i.state, i.initiated_by, i.parameters ->> 'feed' as feed, b.state as backfill, b.requested_by, i.backfill_id = $1::uuid as mine
           from provenance.source_ingest i join ingest.backfill b using (backfill_id)`,
        [backfillId],
      ),
    ).toEqual([
      {
        lane: 'backfill',
        state: 'planned',
        initiated_by: 'ada',
        feed: 'iex',
        backfill: 'active',
        requested_by: 'ada',
        mine: true,
      },
    ])
    expect(await ground.query('select actor, action, subject from ops.audit')).toEqual([
      { actor: 'ada', action: 'plan_backfill', subject: backfillId },
    ])
  })

  test('leaves out what is fetched, what is accepted, and what an ingest is active in, and names the last', async () => {
    const id = await ground.stream({ ...SINCE_2015, accepted: '{[2011-01-01,2012-01-01)}' })
    await ground.ingest(id, { lane: 'live', state: 'landing', lo: '2013-03-01', hi: '2014-01-01' })
    const found = await plan({ from: '2010-01-01' })
    expect(await planned()).toEqual([
      '2010-01-01/2011-01-01',
      '2012-01-01/2013-01-01',
      '2013-01-01/2013-03-01',
      '2014-01-01/2015-01-01',
    ])
    expect(leftOut(found)).toEqual([['2013-03-01', '2014-01-01', 'an ingest is active there, of the lane live']])
  })

  test.each(['failed', 'quarantined', 'cancelled'])('takes what an ingest left behind that is %s', async (state) => {
    const id = await ground.stream(SINCE_2015)
    await ground.ingest(id, { state, lo: '2014-01-01', hi: '2015-01-01' })
    await plan({ from: '2014-01-01' })
    expect(await planned()).toEqual(['2014-01-01/2015-01-01'])
  })

  test('takes everything again when it is told to, but for what an ingest is active in', async () => {
    const id = await ground.stream({ ...SINCE_2015, accepted: '{[2014-01-01,2015-01-01)}' })
    await ground.ingest(id, { lane: 'lookback', state: 'curating', lo: '2015-12-01', hi: '2016-01-01' })
    const found = await plan({ from: '2014-01-01', again: true })
    expect(await planned()).toEqual(['2014-01-01/2015-01-01', '2015-01-01/2015-12-01'])
    expect(leftOut(found)).toEqual([['2015-12-01', '2016-01-01', 'an ingest is active there, of the lane lookback']])
  })

  test('of a second operator plans nothing and says whose the windows are', async () => {
    await ground.stream(SINCE_2015)
    const first = await plan({ from: '2013-01-01' })
    const second = await plan({ from: '2013-01-01' })
    expect(second).toMatchObject({ backfillId: null, windows: 0, streams: [] })
    expect(leftOut(second)).toEqual([
      ['2013-01-01', '2015-01-01', `2 ingests are active there, of the backfill ${first.backfillId}`],
    ])
    expect(await ground.query('select count(*) from ingest.backfill')).toEqual([{ count: 1 }])
  })

  test('that two operators make at once is made once', async () => {
    await ground.stream(SINCE_2015)
    const plans = await Promise.all([plan({ from: '2013-01-01' }), plan({ from: '2013-01-01' })])
    expect(plans.map(({ windows }) => windows).sort()).toEqual([0, 2])
    expect(await planned()).toHaveLength(2)
  })

  test('names what lies before the origin, and what the provider no longer keeps', async () => {
    const [today] = await ground.query<{ day: string }>(
      `select to_char(now() - interval '400 days', 'YYYY-MM-DD') as day`,
    )
    await ground.stream({ ...YEARS, fetched: '{[2015-01-01,2030-01-01)}' })
    expect(leftOut(await plan({ from: '2009-01-01', to: '2010-01-01' }))).toEqual([
      ['2009-01-01', '2010-01-01', 'lies before the origin of the stream, 2010-01-01T00:00:00Z'],
    ])
    await ground.query(
      `update ingest.stream set retention_s = ${400 * DAY_S}, fetched = '{}', history = 'backfill', created_at = now()`,
    )
    const kept = await plan({ from: '2014-01-01' })
    expect(leftOut(kept)).toEqual([['2014-01-01', expect.any(String), 'is older than what the provider keeps, 400d']])
    const [first] = await planned()
    expect((first ?? '') > (today?.day ?? '')).toBe(true)
  })

  test('ends where the lane live begins, also before live has fetched anything', async () => {
    await ground.stream({ ...YEARS, history: 'backfill', created_at: '2014-06-01T12:00:00Z' })
    expect(leftOut(await plan({ from: '2013-01-01', to: '2018-01-01' }))).toEqual([
      ['2014-06-01', '2018-01-01', 'is taken by the lane live'],
    ])
    expect(await planned()).toEqual(['2013-01-01/2014-01-01', '2014-01-01/2014-06-01'])
  })

  test('reaches up to live although an earlier backfill is all that was ever fetched', async () => {
    await ground.stream({
      ...YEARS,
      history: 'backfill',
      created_at: '2014-01-01T12:00:00Z',
      fetched: '{[2010-01-01,2011-01-01)}',
    })
    await plan()
    expect(await planned()).toEqual(['2011-01-01/2012-01-01', '2012-01-01/2013-01-01', '2013-01-01/2014-01-01'])
  })

  test('says that the lane live takes it all where its history is live and nothing is fetched', async () => {
    await ground.stream(YEARS)
    const found = await plan({ from: '2013-01-01', to: '2014-01-01' })
    expect(found).toMatchObject({ backfillId: null, windows: 0 })
    expect(leftOut(found)).toEqual([
      ['2013-01-01', '2014-01-01', 'the lane live takes it all: nothing is fetched yet, and its history is live'],
    ])
  })

  test('never reaches what may still change by the clock of the database', async () => {
    const fetched = `{[2026-01-01,2099-01-01)}`
    await ground.stream({ ...YEARS, origin: '2026-01-01', fetched, settle_lag_s: 3 * DAY_S })
    const found = await plan({ again: true })
    const [limit] = await ground.query<{ at: Instant }>(`select date_trunc('day', now() - interval '3 days') as at`)
    expect(found.streams.at(-1)?.hi).toBe(limit?.at)
  })

  test('is not widened, cut or doubled by the planner of the lane live', async () => {
    await ground.stream({ ...SINCE_2015, until: '2016-01-01' })
    await plan({ from: '2010-01-01' })
    const before = await planned()
    const { planned: live, widened } = await planWindows(ground.platform.db, {
      initiatedBy: 'test',
      pipelineRunId: null,
    })
    expect([live, widened]).toEqual([[], 0])
    expect(await planned()).toEqual(before)
  })

  test('that is only tried writes nothing', async () => {
    await ground.stream(SINCE_2015)
    const before = await ground.everything()
    expect(await plan({ from: '2013-01-01', dryRun: true })).toMatchObject({ backfillId: null, windows: 2 })
    expect(await ground.everything()).toEqual(before)
  })

  describe('estimates', () => {
    const PUBLISHED = { state: 'published', lo: '2015-01-01', hi: '2015-12-31', pages: 4, body_bytes: 36_400 }

    test('calls, bytes and minutes from what earlier ingests of the stream took', async () => {
      const id = await ground.stream(SINCE_2015)
      await ground.ingest(id, PUBLISHED)
      const { streams, estimate } = await plan({ from: '2014-01-02', to: '2015-01-01' })
      expect(streams).toMatchObject([{ calls: 4, bytes: 36_400, basis: 'stream' }])
      expect(estimate).toEqual({ calls: 4, bytes: 36_400, minutes: 1 })
    })

    test('from the largest of them: small ones ask once for less than a page', async () => {
      const id = await ground.stream(SINCE_2015)
      await ground.ingest(id, PUBLISHED)
      for (let day = 1; day <= 60; day++) {
        const lo = new Date(Date.UTC(2016, 0, day))
        await ground.ingest(id, {
          ...PUBLISHED,
          lo,
          hi: new Date(lo.getTime() + 86_400_000),
          pages: 1,
          body_bytes: 100,
        })
      }
      const { streams } = await plan({ from: '2014-01-02', to: '2015-01-01' })
      expect(streams[0]?.calls).toBeLessThan(55)
    })

    test('from other streams of the source and timeframe where it has none, and says so', async () => {
      const other = await ground.stream({
        ...SINCE_2015,
        published: '{[2015-01-01,2016-01-01)}',
        paused: true,
        paused_reason: 'x',
      })
      await ground.ingest(other, PUBLISHED)
      const coarse = await ground.stream({
        ...SINCE_2015,
        timeframe: '1h',
        published: '{[2015-01-01,2016-01-01)}',
        paused: true,
        paused_reason: 'x',
      })
      await ground.ingest(coarse, { ...PUBLISHED, pages: 99 })
      await ground.stream(SINCE_2015)
      const { streams } = await plan({ from: '2014-01-02', to: '2015-01-01' })
      expect(streams).toMatchObject([{ calls: 4, bytes: 36_400, basis: 'source' }])
    })

    test('nothing but one call per window where nothing was ingested', async () => {
      await ground.stream(SINCE_2015)
      const { streams, estimate } = await plan({ from: '2012-01-01' })
      expect(streams).toMatchObject([{ calls: 3, bytes: null, basis: 'none' }])
      expect(estimate).toEqual({ calls: 3, bytes: null, minutes: 1 })
    })
  })

  describe('refuses', () => {
    const paused: Row = { ...SINCE_2015, paused: true, paused_reason: 'no longer listed in the streams file' }

    test('a stream that is paused, where it is named', async () => {
      await ground.stream({ ...paused, subject: 'GONE' })
      await expect(plan({ streams: ['alpaca/bars/GONE/1d'] })).rejects.toThrow(
        'stream alpaca/bars/GONE/1d: expected one that runs, it is paused (no longer listed in the streams file); resume it with: tributary streams resume alpaca/bars/GONE/1d --reason …',
      )
    })

    test('nothing of the others where a pattern finds a paused one among them: it is left out and named', async () => {
      await ground.stream({ ...paused, subject: 'GONE' })
      await ground.stream(SINCE_2015)
      const found = await plan({ from: '2014-01-01' })
      expect(found.windows).toBe(1)
      expect(found.leftOut).toEqual([
        {
          stream: 'alpaca/bars/GONE/1d',
          lo: null,
          hi: null,
          reason: 'is paused: no longer listed in the streams file',
        },
      ])
    })

    test('more windows than one plan may hold, and plans none', async () => {
      await ground.stream({ ...SINCE_2015, origin: '1700-01-01', max_window_s: DAY_S })
      await expect(plan({ from: '1900-01-01' })).rejects.toThrow(
        /^backfill: expected at most 20000 windows, got 42003; plan fewer streams or a shorter range at a time$/,
      )
      expect(await planned()).toEqual([])
    })
  })
})
