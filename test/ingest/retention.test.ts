import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { type Claim, claimToLand } from '../../shared/ingest/state/claim.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { WindowExpiredError } from '../../shared/ingest/state/split.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { floorTo, formatDate, formatInstant, type Instant, MICROS_PER_SECOND } from '../../shared/instant.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, type Workbench } from '../support/workbench.ts'
import { DAY_S, type Row, requestOf, useGround } from './ground.ts'

const RUN = { initiatedBy: 'test', pipelineRunId: null }
const YEARS_S = 20 * 366 * DAY_S
const OLDER = 'older than the provider keeps (30d): accept it'

describe('a provider that keeps thirty days', () => {
  const ground = useGround()
  beforeAll(() => ground.platform.queues.ensure('land'))
  beforeEach(() => ground.clear())
  const plan = () => planWindows(ground.platform.db, RUN)
  /** Its last month is gone, too: whatever the clock says, all of it is older than thirty days. */
  const ENDED = { retention_s: 30 * DAY_S, until: '2020-02-01', planned_until: '2020-02-01' }
  const holes = async () => (await readStatus(ground.platform.db)).streams[0]?.holes
  const gap = async () => {
    await sweep(ground.platform)
    return ground.query(
      `select severity, subject, detail from ops.alert where kind = 'gap_unrecoverable' and closed_at is null`,
    )
  }
  /** `01-05/01-08` as the alert names it. */
  const range = (text: string) => {
    const [lo, hi] = text.split('/').map((day) => `2020-${day}T00:00:00Z`)
    return { lo, hi }
  }
  const gapRanges = async () => {
    const [alert] = await gap()
    return (alert?.detail as { ranges: unknown } | undefined)?.ranges
  }

  test.each([60, 3600, DAY_S])(
    'is asked for nothing that could be gone after an hour in the queue: granularity %i s',
    async (granularity_s) => {
      await ground.stream({ granularity_s, retention_s: 30 * DAY_S, max_window_s: YEARS_S, settle_lag_s: 0 })
      await plan()
      const found = await ground.query<{ lo: Instant; at: Instant }>(
        'select lo, planned_at as at from provenance.source_ingest',
      )
      const step = BigInt(granularity_s) * MICROS_PER_SECOND
      const keptFor = BigInt(30 * DAY_S - 3600) * MICROS_PER_SECOND
      const at = found[0]?.at ?? 0n
      expect(found).toEqual([{ lo: -floorTo(keptFor - at, step), at }])
    },
  )

  test('is asked for nothing at all of a stream that ended before', async () => {
    await ground.stream(ENDED)
    expect((await plan()).planned).toEqual([])
  })

  test('what it no longer has is a standing alert that names the ranges, until it is accepted', async () => {
    await ground.stream({ ...ENDED, subject: 'TSLA', fetched: '{[2020-01-05,2020-01-08)}' })
    const alert = {
      severity: 'critical',
      subject: 'alpaca/bars/TSLA/1d',
      detail: { retention_seconds: 30 * DAY_S, ranges: [range('01-01/01-05'), range('01-08/02-01')] },
    }
    expect(await gap()).toEqual([alert])
    expect(await gap()).toEqual([alert])
    await ground.query(`update ingest.stream set accepted = '{[2020-01-01,2020-01-05)}'`)
    expect(await gapRanges()).toEqual([range('01-08/02-01')])
    await ground.query(`update ingest.stream set accepted = '{[2020-01-01,2020-02-01)}'`)
    expect(await gap()).toEqual([])
    expect(await ground.query(`select count(*) as n from ops.alert where kind = 'gap_unrecoverable'`)).toEqual([
      { n: 1 },
    ])
  })

  test('the alert names at most twenty ranges, the oldest', async () => {
    const days = Array.from({ length: 25 }, (_, index) => `[2020-01-${two(index + 2)},2020-01-${two(index + 2)} 12:00)`)
    await ground.stream({ ...ENDED, fetched: `{${days.join(',')}}` })
    const ranges = await gapRanges()
    expect(ranges).toHaveLength(20)
    expect(ranges).toMatchObject([range('01-01/01-02'), { lo: '2020-01-02T12:00:00Z' }, ...Array(18).fill({})])
  })

  test.each(['planned', 'landing', 'landed', 'curating', 'failed', 'quarantined'])(
    'a window that is %s is not gone yet: it speaks for itself',
    async (state) => {
      const id = await ground.stream(ENDED)
      await ground.ingest(id, { state, landed_epoch: 1, lo: '2020-01-05', hi: '2020-01-08' })
      expect(await gapRanges()).toEqual([range('01-01/01-05'), range('01-08/02-01')])
    },
  )

  test('history that waits for a backfill is not gone yet either', async () => {
    await ground.stream({ ...ENDED, history: 'backfill', created_at: '2020-01-20T12:00:00Z' })
    expect(await gapRanges()).toEqual([range('01-20/02-01')])
    expect((await holes())?.map(({ lo, reason }) => [lo.slice(5, 10), reason])).toEqual([
      ['01-01', 'waits for a backfill'],
      ['01-20', OLDER],
    ])
  })

  test.each([
    ['whose provider keeps everything', { retention_s: null }, 0],
    ['made by an import', { managed_by: 'import', interval_s: null }, 0],
    ['that is no longer listed', { paused: true, paused_reason: 'no longer listed in the streams file' }, 0],
    ['that is paused', { paused: true, paused_reason: 'by hand' }, 1],
  ])('a stream %s has that many such alerts: %#', async (_why, columns: Row, count) => {
    await ground.stream({ ...ENDED, ...columns })
    expect(await gap()).toHaveLength(count)
  })

  test('the status tells what is gone from what can still be planned', async () => {
    const id = await ground.stream({ retention_s: 30 * DAY_S, max_window_s: YEARS_S })
    await plan()
    await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
    const [planned] = await ground.query<{ lo: Instant; hi: Instant }>('select lo, hi from provenance.source_ingest')
    const [boundary, end] = [formatInstant(planned?.lo ?? 0n), formatInstant(planned?.hi ?? 0n)]
    expect(await holes()).toEqual([
      { lo: '2020-01-01T00:00:00Z', hi: boundary, reason: OLDER, sourceIngestId: null },
      { lo: boundary, hi: end, reason: 'not planned yet', sourceIngestId: null },
    ])
    await ground.query(`update ingest.stream set paused = true, paused_reason = 'auth: 401' where stream_id = $1`, [id])
    expect((await holes())?.map(({ reason }) => reason)).toEqual([OLDER, 'paused: auth: 401'])
  })

  test('I5 no zombie wins: who lost the lease cannot cancel a window as expired', async () => {
    const id = await ground.ingest(await ground.stream(ENDED), { lo: '2020-01-05', hi: '2020-01-08' })
    const zombie = (await claimToLand(ground.platform.db, requestOf(ground.platform, id))) as Claim
    await ground.query('update provenance.source_ingest set epoch = epoch + 1')
    const before = await ground.everything()
    expect(await settle(ground.platform, zombie, new WindowExpiredError('gone'))).toBe('lease-lost')
    expect(await ground.everything()).toEqual(before)
  })
})

describe('a window that expires in the queue', () => {
  const environment = useTestEnvironment()
  const today = Math.floor(Date.now() / 1000 / DAY_S)
  const stream = {
    source: 'alpaca',
    dataset: 'bars',
    params: { symbol: 'SPX', timeframe: '1d' },
    origin: formatDate(today - 60),
    every: '15m',
  }
  const open = async () => {
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      streams: [stream],
    })
    onTestFinished(() => bench.close())
    return bench
  }
  const holes = async ({ platform }: Workbench) => (await readStatus(platform.db)).streams[0]?.holes
  const gaps = async (bench: Workbench) => {
    await bench.sweep()
    return bench.query(`select kind from ops.alert where kind = 'gap_unrecoverable' and closed_at is null`)
  }

  test('is cancelled unasked, what is still there is planned again, and the rest is alerted until it is accepted', async () => {
    const bench = await open()
    expect((await bench.plan()).planned).toHaveLength(1)
    await bench.writeStreams([{ ...stream, retention: '30d' }])
    expect((await bench.plan()).planned).toEqual([])
    expect(await bench.drain()).toEqual(['cancelled'])
    expect(bench.simulator.requests).toEqual([])
    expect(
      await bench.query('select state, error_class as class, claimed_by as "by" from provenance.source_ingest'),
    ).toEqual([{ state: 'cancelled', class: 'WindowExpiredError', by: null }])

    expect((await bench.plan()).planned).toHaveLength(1)
    expect(await bench.drain()).toEqual(['empty'])
    const [gone, ...more] = (await holes(bench)) ?? []
    expect(more).toEqual([])
    expect(gone).toMatchObject({ lo: `${stream.origin}T00:00:00Z`, reason: OLDER })
    const [asked] = bench.simulator.requests
    expect(asked?.query.start).toBe(gone?.hi)
    expect(await gaps(bench)).toHaveLength(1)

    const accepted = 'update ingest.stream set accepted = tstzmultirange(tstzrange($1::timestamptz, $2::timestamptz))'
    await bench.query(accepted, [gone?.lo, gone?.hi])
    expect(await holes(bench)).toEqual([])
    expect(await gaps(bench)).toEqual([])
  })

  test('is asked for where the provider still has all of it', async () => {
    const bench = await open()
    await bench.plan()
    // The window begins at the origin: a minute more than its age is enough, an hour of waiting included or not.
    await bench.query(`update ingest.stream set retention_s = extract(epoch from now() - origin)::int + 60`)
    expect(await bench.drain()).toEqual(['empty'])
  })
})

function two(value: number): string {
  return String(value).padStart(2, '0')
}
