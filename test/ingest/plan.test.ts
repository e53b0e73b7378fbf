import { beforeEach, describe, expect, test } from 'vitest'
import { type PlanResult, planWindows } from '../../shared/ingest/plan/plan.ts'
import { floorTo, type Instant, MICROS_PER_SECOND } from '../../shared/instant.ts'
import { type Row, useGround } from './ground.ts'

const RUN = { initiatedBy: 'test', pipelineRunId: null }
const YEARS_S = 20 * 366 * 86_400

describe('the planner', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const plan = (): Promise<PlanResult> => planWindows(ground.platform.db, RUN)
  const set = (streamId: number, assignment: string) =>
    ground.query(`update ingest.stream set ${assignment} where stream_id = $1`, [streamId])
  /** `2020-01-01/2020-01-11 planned`, in the order of time. */
  const windows = async (streamId: number) => {
    const rows = await ground.query<{ line: string }>(
      `select to_char(lo, 'YYYY-MM-DD') || '/' || to_char(hi, 'YYYY-MM-DD') || ' ' || state as line
         from provenance.source_ingest where stream_id = $1 order by lo, planned_at`,
      [streamId],
    )
    return rows.map(({ line }) => line)
  }
  const move = (streamId: number, lo: string, assignment: string) =>
    ground.query(`update provenance.source_ingest set ${assignment} where stream_id = $1 and lo = $2::timestamptz`, [
      streamId,
      lo,
    ])
  /** A time of `until` has come: the next tick is due. */
  const until = (streamId: number, date: string) => set(streamId, `until = '${date}', next_plan_at = null`)

  test.each([
    [60, 1200],
    [3600, 0],
    [86_400, 4800],
  ])(
    'ends at the clock of the database minus the settle lag, floored to the granularity: %i s, lag %i s',
    async (granularity_s, settle_lag_s) => {
      const streamId = await ground.stream({ granularity_s, settle_lag_s, max_window_s: YEARS_S })
      await plan()
      const found = await ground.query<{ lo: Instant; hi: Instant; at: Instant }>(
        'select lo, hi, planned_at as at from provenance.source_ingest where stream_id = $1',
        [streamId],
      )
      const at = found[0]?.at ?? 0n
      const hi = floorTo(at - BigInt(settle_lag_s) * MICROS_PER_SECOND, BigInt(granularity_s) * MICROS_PER_SECOND)
      expect(found).toEqual([{ lo: 1_577_836_800_000_000n, hi, at }])
    },
  )

  test('cuts history from its newest end: the newest piece and at most eight older ones planned or landing', async () => {
    const streamId = await ground.stream({ until: '2020-07-19' })
    expect((await plan()).planned).toHaveLength(9)
    const first = await windows(streamId)
    expect(first[0]).toBe('2020-04-20/2020-04-30 planned')
    expect(first[8]).toBe('2020-07-09/2020-07-19 planned')
    expect((await plan()).planned).toEqual([])
    // The newest is gone: eight older ones are still open.
    await move(streamId, '2020-07-09', `state = 'landing'`)
    await move(streamId, '2020-07-09', `state = 'landed'`)
    expect((await plan()).planned).toEqual([])
    await move(streamId, '2020-05-30', `state = 'landed'`)
    expect((await plan()).planned).toHaveLength(1)
    expect((await windows(streamId))[0]).toBe('2020-04-10/2020-04-20 planned')
  })

  test('the newest piece is planned however many older ones are open', async () => {
    const streamId = await ground.stream({ until: '2020-07-19' })
    await plan()
    await move(streamId, '2020-07-09', `state = 'landing'`)
    await until(streamId, '2020-07-22')
    expect((await plan()).planned).toHaveLength(1)
    expect((await windows(streamId)).at(-1)).toBe('2020-07-19/2020-07-22 planned')
  })

  test('a piece that does not fill the largest window is the oldest of its hole', async () => {
    const streamId = await ground.stream({ until: '2020-01-24' })
    await plan()
    expect(await windows(streamId)).toEqual([
      '2020-01-01/2020-01-04 planned',
      '2020-01-04/2020-01-14 planned',
      '2020-01-14/2020-01-24 planned',
    ])
  })

  test('plans the holes of coverage and nothing else', async () => {
    const streamId = await ground.stream({
      until: '2020-02-01',
      fetched: '{[2020-01-03,2020-01-05),[2020-01-20,2020-02-01)}',
      accepted: '{[2020-01-08,2020-01-09)}',
    })
    await ground.ingest(streamId, { lo: '2020-01-10', hi: '2020-01-11', state: 'failed' })
    await ground.ingest(streamId, { lo: '2020-01-12', hi: '2020-01-13', state: 'quarantined' })
    await ground.ingest(streamId, { lo: '2020-01-14', hi: '2020-01-15', state: 'curating' })
    await ground.ingest(streamId, { lo: '2020-01-16', hi: '2020-01-17', lane: 'backfill' })
    await ground.ingest(streamId, { lo: '2020-01-18', hi: '2020-01-19', state: 'cancelled' })
    await plan()
    expect((await windows(streamId)).filter((line) => line.endsWith(' planned'))).toEqual([
      '2020-01-01/2020-01-03 planned',
      '2020-01-05/2020-01-08 planned',
      '2020-01-09/2020-01-10 planned',
      '2020-01-11/2020-01-12 planned',
      '2020-01-13/2020-01-14 planned',
      '2020-01-15/2020-01-16 planned',
      '2020-01-16/2020-01-17 planned',
      '2020-01-17/2020-01-20 planned',
    ])
  })

  test('widens a live window that no worker has begun', async () => {
    const streamId = await ground.stream({ until: '2020-01-04' })
    const [id] = (await plan()).planned
    await until(streamId, '2020-01-06')
    expect(await plan()).toEqual({ streams: 1, planned: [], widened: 1 })
    expect(await windows(streamId)).toEqual(['2020-01-01/2020-01-06 planned'])
    expect((await ground.ingestRow(id ?? '')).state).toBe('planned')
  })

  test('widens it to the largest window and plans the rest behind it', async () => {
    const streamId = await ground.stream({ until: '2020-01-04' })
    await plan()
    await until(streamId, '2020-01-14')
    expect(await plan()).toMatchObject({ widened: 1 })
    expect(await windows(streamId)).toEqual(['2020-01-01/2020-01-11 planned', '2020-01-11/2020-01-14 planned'])
  })

  test('follows a live window that is landing by another', async () => {
    const streamId = await ground.stream({ until: '2020-01-04' })
    await plan()
    await move(streamId, '2020-01-01', `state = 'landing'`)
    await until(streamId, '2020-01-06')
    expect(await plan()).toMatchObject({ widened: 0 })
    expect(await windows(streamId)).toEqual(['2020-01-01/2020-01-04 landing', '2020-01-04/2020-01-06 planned'])
  })

  test.each([
    ['fetched', `fetched = '{[2020-01-05,2020-01-06)}'`],
    ['accepted', `accepted = '{[2020-01-05,2020-01-06)}'`],
  ])('never widens a window over what is %s', async (_name, assignment) => {
    const streamId = await ground.stream({ until: '2020-01-04' })
    await plan()
    await set(streamId, assignment)
    await until(streamId, '2020-01-08')
    await plan()
    const covered = (await windows(streamId)).filter((line) => line.startsWith('2020-01-0'))
    expect(covered).toEqual([
      '2020-01-01/2020-01-04 planned',
      '2020-01-04/2020-01-05 planned',
      '2020-01-06/2020-01-08 planned',
    ])
  })

  test('never widens a window into time before a new origin', async () => {
    const streamId = await ground.stream({ until: '2020-01-04' })
    await plan()
    await set(streamId, `origin = '2020-01-10', until = '2020-01-12', next_plan_at = null`)
    await plan()
    expect(await windows(streamId)).toEqual(['2020-01-01/2020-01-04 planned', '2020-01-10/2020-01-12 planned'])
  })

  test('plans what an earlier origin adds', async () => {
    const streamId = await ground.stream({ until: '2020-01-04', fetched: '{[2020-01-01,2020-01-04)}' })
    await set(streamId, `origin = '2019-12-30', next_plan_at = null`)
    await plan()
    expect(await windows(streamId)).toEqual(['2019-12-30/2020-01-01 planned'])
  })

  test.each([
    ['paused', { paused: true, paused_reason: 'by hand' }],
    ['made by an import', { managed_by: 'import', interval_s: null }],
    ['that begins in the future', { origin: '2999-01-01', until: null }],
  ])('leaves out a stream %s', async (_why, columns: Row) => {
    await ground.stream({ until: '2020-01-11', ...columns })
    expect((await plan()).planned).toEqual([])
  })

  test('a held stream is planned like any other', async () => {
    await ground.stream({ until: '2020-01-11', held_reason: 'schema changed' })
    expect((await plan()).planned).toHaveLength(1)
  })

  test('moves the end only when the interval has passed, and plans holes behind it at every tick', async () => {
    const streamId = await ground.stream({ until: '2020-01-11' })
    await plan()
    await move(streamId, '2020-01-01', `state = 'cancelled'`)
    await set(streamId, `until = '2020-01-16'`)
    expect((await plan()).planned).toHaveLength(1)
    expect(await windows(streamId)).toEqual(['2020-01-01/2020-01-11 cancelled', '2020-01-01/2020-01-11 planned'])
    await set(streamId, `next_plan_at = now() - interval '1 second'`)
    await plan()
    expect((await windows(streamId)).at(-1)).toBe('2020-01-11/2020-01-16 planned')
    const [due] = await ground.query(
      `select extract(epoch from next_plan_at - now()) between 890 and 900 as "inAnInterval" from ingest.stream`,
    )
    expect(due).toEqual({ inAnInterval: true })
  })

  test('history that waits for a backfill is left out: live begins where the stream was made', async () => {
    const streamId = await ground.stream({
      history: 'backfill',
      created_at: '2020-03-01T12:34:56Z',
      until: '2020-03-05',
    })
    await plan()
    expect(await windows(streamId)).toEqual(['2020-03-01/2020-03-05 planned'])
  })

  test('several planners at once plan every window once and none of them fails', async () => {
    const streams = await Promise.all(Array.from({ length: 40 }, () => ground.stream({ until: '2020-02-10' })))
    const workers = [ground.platform, ground.openWorker(), ground.openWorker()]
    const results = await Promise.all(workers.flatMap(({ db }) => [planWindows(db, RUN), planWindows(db, RUN)]))
    const planned = results.flatMap((result) => result.planned)
    expect(planned).toHaveLength(streams.length * 4)
    expect(new Set(planned).size).toBe(planned.length)
    const [coverage] = await ground.query(
      `select count(*) as streams from (select stream_id, range_agg(tstzrange(lo, hi)) as windows from provenance.source_ingest group by 1) s
        where windows = '{[2020-01-01,2020-02-10)}'`,
    )
    expect(coverage).toEqual({ streams: streams.length })
  })

  test('plans beside workers that claim: no window is lost, doubled or changed under a claim', async () => {
    const streamId = await ground.stream({ until: '2020-01-02' })
    for (let day = 3; day < 23; day++) {
      await until(streamId, `2020-01-${String(day).padStart(2, '0')}`)
      const claim = ground.query(
        `update provenance.source_ingest set state = 'landing' where stream_id = $1 and state = 'planned' returning 1`,
        [streamId],
      )
      await Promise.all([plan(), claim])
    }
    await plan()
    const [row] = await ground.query(
      `select range_agg(tstzrange(lo, hi))::text as windows, sum(extract(epoch from hi - lo))::bigint / 86400 as days
         from provenance.source_ingest`,
    )
    expect(row).toEqual({ windows: '{["2020-01-01 00:00:00+00","2020-01-22 00:00:00+00")}', days: 21 })
  })

  test('one tick plans a thousand streams', async () => {
    await ground.query(`
      insert into ingest.stream (source, dataset, params, params_key, subject, timeframe, curated_root, origin, until,
             interval_s, granularity_s, max_window_s, settle_lag_s)
      select 'alpaca', 'bars', '{}', n::text, 'S' || n, '1d', 'root' || n, '2020-01-01', '2020-01-04', 900, 86400, 864000, 0
        from generate_series(1, 1000) n`)
    const result = await plan()
    expect(result.streams).toBe(1000)
    expect(new Set(result.planned).size).toBe(1000)
    expect((await plan()).planned).toEqual([])
  })
})
