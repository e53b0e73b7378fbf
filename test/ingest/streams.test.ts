import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import type { Platform } from '../../shared/platform.ts'
import { useGround } from './ground.ts'

const TSLA = {
  source: 'alpaca',
  dataset: 'bars',
  params: { symbol: 'TSLA', timeframe: '1d' },
  origin: '2020-01-01',
  until: '2020-01-11',
  every: '15m',
}
const AAPL = { ...TSLA, params: { symbol: 'AAPL', timeframe: '1d' } }

describe('the streams file, applied by every tick of the planner', () => {
  const ground = useGround()
  let platform: Platform
  let folder: string
  let path: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-streams-'))
    path = join(folder, 'streams.json')
    platform = ground.openWorker({ TRIBUTARY_STREAMS: path })
    await platform.queues.ensure('land')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  beforeEach(() => ground.clear())

  const apply = async (...streams: readonly unknown[]) => {
    await writeFile(path, JSON.stringify({ streams }))
    return planTick(platform)
  }
  const streams = () =>
    ground.query(`select subject, paused, paused_reason as reason from ingest.stream order by subject`)
  const openAlerts = () =>
    ground.query(`select kind, severity, subject, detail from ops.alert where closed_at is null order by kind`)

  test('a new stream is written and planned', async () => {
    expect((await apply(TSLA)).planned).toHaveLength(1)
    expect(await streams()).toEqual([{ subject: 'TSLA', paused: false, reason: null }])
  })

  test('an unchanged stream is not written again', async () => {
    await apply(TSLA, AAPL)
    const before = await ground.query('select xmin::text, updated_at from ingest.stream order by stream_id')
    ground.logged.length = 0
    await apply(AAPL, TSLA)
    const after = await ground.query('select updated_at from ingest.stream order by stream_id')
    expect(after).toEqual(before.map(({ updated_at }) => ({ updated_at })))
    expect(ground.logged.filter(({ event }) => event === 'streams_applied')).toEqual([])
  })

  test('an earlier origin is planned at once, whatever the interval', async () => {
    await apply(TSLA)
    expect((await apply({ ...TSLA, origin: '2019-12-01' })).planned).toHaveLength(1)
    expect(await ground.query(`select min(lo)::text as lo from provenance.source_ingest`)).toEqual([
      { lo: '2019-12-01 00:00:00+00' },
    ])
  })

  test.each([
    [{ lookback: '3d' }, null],
    [{ lookbackEvery: '12h' }, null],
    [{ every: '1h' }, '2999-01-01 00:00:00+00'],
    [{ retention: '730d' }, '2999-01-01 00:00:00+00'],
  ])('another lookback is due at once, and nothing else makes it due: %o', async (change, next) => {
    await apply(TSLA)
    await ground.query(`update ingest.stream set next_lookback_at = '2999-01-01'`)
    await apply({ ...TSLA, ...change })
    expect(await ground.query('select next_lookback_at::text as next from ingest.stream')).toEqual([{ next }])
  })

  test('lookback and retention are written with the stream', async () => {
    await apply({ ...TSLA, lookback: '3d', lookbackEvery: '12h', retention: '730d' })
    const columns = 'lookback_s, lookback_every_s, retention_s'
    const written = { lookback_s: 3 * 86_400, lookback_every_s: 43_200, retention_s: 730 * 86_400 }
    expect(await ground.query(`select ${columns} from ingest.stream`)).toEqual([written])
    await apply(TSLA)
    const defaults = { lookback_s: 7 * 86_400, lookback_every_s: 86_400, retention_s: null }
    expect(await ground.query(`select ${columns} from ingest.stream`)).toEqual([defaults])
  })

  test('a stream that is no longer listed is paused with the reason, not deleted, and resumes when listed again', async () => {
    await apply(TSLA, AAPL)
    await apply(AAPL)
    expect(await streams()).toEqual([
      { subject: 'AAPL', paused: false, reason: null },
      { subject: 'TSLA', paused: true, reason: 'no longer listed in the streams file' },
    ])
    await apply(TSLA, AAPL)
    expect(await streams()).toEqual([
      { subject: 'AAPL', paused: false, reason: null },
      { subject: 'TSLA', paused: false, reason: null },
    ])
  })

  test('a stream that was paused for another reason stays paused when the file changes or lists it again', async () => {
    await apply(TSLA)
    await ground.query(`update ingest.stream set paused = true, paused_reason = 'auth: 401'`)
    await apply()
    await apply({ ...TSLA, every: '1h' })
    expect(await streams()).toEqual([{ subject: 'TSLA', paused: true, reason: 'auth: 401' }])
  })

  test("a stream made by an import is not the file's to pause", async () => {
    await ground.stream({ subject: 'IMPORTED', managed_by: 'import', interval_s: null })
    await apply(TSLA)
    expect(await streams()).toEqual([
      { subject: 'IMPORTED', paused: false, reason: null },
      { subject: 'TSLA', paused: false, reason: null },
    ])
  })

  test('a bad file changes nothing, the streams there go on, and the run says every problem', async () => {
    await apply(TSLA)
    const before = await streams()
    // What is missing is planned although the file cannot be read.
    await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
    await expect(apply({ ...AAPL, every: 'often' }, { ...TSLA, source: 'nobody' })).rejects.toThrow(
      'streams[0].every: expected a duration such as 90s, 15m, 2h or 3d, got "often"\nstreams[1].source: expected one of',
    )
    expect(await streams()).toEqual(before)
    expect(await ground.query(`select count(*) as n from provenance.source_ingest where state = 'planned'`)).toEqual([
      { n: 1 },
    ])
    expect(
      await ground.query(
        `select status, left(error_summary, 16) as error from ops.pipeline_runs where status = 'failure'`,
      ),
    ).toEqual([{ status: 'failure', error: 'streams[0].every' }])
  })

  test('a bad file opens one alert that names every problem, and a good file closes it', async () => {
    await expect(apply({ ...TSLA, every: 'often' })).rejects.toThrow()
    await expect(apply({ ...TSLA, every: 'often' })).rejects.toThrow()
    const problem = 'streams[0].every: expected a duration such as 90s, 15m, 2h or 3d, got "often"'
    expect(await openAlerts()).toEqual([
      { kind: 'streams_file', severity: 'critical', subject: path, detail: { problems: [problem] } },
    ])
    await apply(TSLA)
    expect(await openAlerts()).toEqual([])
    expect(await ground.query('select count(*) as n from ops.alert')).toEqual([{ n: 1 }])
  })

  test('a file that is not there is a bad file', async () => {
    await rm(path, { force: true })
    await expect(planTick(platform)).rejects.toThrow(`streams file: expected to read ${path}, got ENOENT`)
    expect((await openAlerts()).map(({ kind }) => kind)).toEqual(['streams_file'])
  })

  test('a partition that belongs to another stream of the database is refused, and nothing of the file is applied', async () => {
    await apply(TSLA)
    const sip = { ...TSLA, params: { ...TSLA.params, feed: 'sip' } }
    await expect(apply(AAPL, sip)).rejects.toThrow(
      'streams file: expected partitions of its own, got dataset=bars/timeframe=1d/symbol=TSLA/part-alpaca, which belongs to the stream {"adjustment":"raw","feed":"iex","symbol":"TSLA","timeframe":"1d"}; give the new stream another subject',
    )
    expect(await streams()).toEqual([{ subject: 'TSLA', paused: false, reason: null }])
  })
})
