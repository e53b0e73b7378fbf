import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import { runBackfill } from '../../shared/ingest/backfill/run.ts'
import { freeStream, holdStream } from '../../shared/ingest/state/hold.ts'
import type { IoHook } from '../../shared/io-hook.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { openWorkbench, type WorkbenchOptions } from '../support/workbench.ts'
import { hours, keepBudgetFull, openHistory } from './history.ts'

/** Three windows and as many files. */
const MONTHS = [hours('SPX', '2010-01-01', '2010-04-01')]
/** Trading days of the three months, seven hours each. */
const ROWS = 61 * 7

describe('running a backfill', () => {
  const environment = useTestEnvironment()
  const open = async (more?: Partial<WorkbenchOptions>, streams = MONTHS) => {
    const history = await openHistory(environment, streams, more)
    onTestFinished(() => history.bench.close())
    return history
  }
  type Opened = Awaited<ReturnType<typeof open>>
  const run = ({ cli }: Opened, id: string, ...more: string[]) => cli(['--json', 'backfill', 'run', id, ...more])
  const windows = async ({ bench }: Opened) =>
    (await bench.query<{ windows: number }>('select count(*) as windows from provenance.source_ingest'))[0]?.windows ??
    0
  const states = async ({ bench }: Opened) => {
    const rows = await bench.query<{ state: string; count: number }>(
      'select state, count(*) from provenance.source_ingest group by state order by state',
    )
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
  }

  test('fetches and curates every window and is done: coverage and rows are those of the lane live', async () => {
    const history = await open()
    const id = await history.plan()
    const { code, json } = await run(history, id)
    expect(code).toBe(0)
    expect(json).toMatchObject({ end: 'done', state: 'finished', left: 0, mine: { rows: ROWS, failed: 0 } })
    const { platform } = history.bench
    expect(await readLake(platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })

    const live = await open({}, [{ ...MONTHS[0], history: 'live' }])
    await live.bench.settle()
    const { partitions, fetched, published, records } = await lakeState(live.bench.platform)
    const backfilled = await lakeState(platform)
    expect(backfilled).toMatchObject({ fetched, published, records, unfinished: 0 })
    expect(Object.keys(backfilled.partitions)).toEqual(Object.keys(partitions))
  })

  test('a window that a person replayed after the end is done by the next run', async () => {
    const history = await open()
    const id = await history.plan()
    const { query } = history.bench
    const [first] = await query<{ id: string }>(
      'select source_ingest_id as id from provenance.source_ingest order by lo',
    )
    await query(
      `update provenance.source_ingest set state = 'quarantined', finished_at = now() where source_ingest_id = $1`,
      [first?.id],
    )
    expect(await run(history, id)).toMatchObject({ code: 1, json: { end: 'failed', state: 'finished' } })
    await history.cli(['quarantine', 'replay', first?.id ?? '', '--reason', 'mended'])
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done', left: 0, mine: { windows: 1 } } })
    expect((await readLake(history.bench.platform)).rows).toBe(ROWS)
  })

  test('once more asks nobody and is done', async () => {
    const history = await open()
    const id = await history.plan()
    await run(history, id)
    const asked = history.bench.simulator.requests.length
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done', mine: { windows: 0 } } })
    expect(history.bench.simulator.requests).toHaveLength(asked)
  })

  test.each([
    ['oldest', []],
    ['newest', ['--newest-first']],
  ])('asks for the %s windows first', async (end, more) => {
    const history = await open()
    await run(history, await history.plan(...more), '--concurrency', '1')
    const starts = history.bench.simulator.requests.map(({ query }) => query.start ?? '')
    const ascending = ['2010-01-01', '2010-02-01', '2010-03-01'].map((day) => `${day}T00:00:00Z`)
    expect(starts).toEqual(end === 'oldest' ? ascending : ascending.reverse())
  })

  test('several workers share one plan: every window is asked for once, and nothing is doubled', async () => {
    const history = await open({}, [
      hours('SPX', '2010-01-01', '2010-07-01'),
      hours('TSLA', '2010-01-01', '2010-07-01'),
    ])
    onTestFinished(keepBudgetFull(history.bench))
    const id = await history.plan()
    const ended = await Promise.all([run(history, id), run(history, id), run(history, id)])
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(history.bench.simulator.requests).toHaveLength(await windows(history))
    const rows = ended.map(({ json }) => json.mine.rows as number)
    expect(rows.reduce((sum, mine) => sum + mine, 0)).toBe(2 * 124 * 7)
    expect(await readLake(history.bench.platform)).toEqual({ rows: 2 * 124 * 7, duplicateKeys: 0, wrongHashes: [] })
  })

  test('windows that fail are left behind, named, and the exit code is 1', async () => {
    const refuse = { kind: 'error', status: 400, message: 'invalid symbol: SPX' } as const
    const history = await open({ simulator: { faults: [undefined, refuse] } })
    const id = await history.plan()
    const { code, json } = await run(history, id, '--concurrency', '1')
    expect(code).toBe(1)
    expect(json).toMatchObject({ end: 'failed', state: 'finished', left: 0, windows: { failed: 1 } })
    const status = (await history.cli(['--json', 'backfill', 'status', id])).json
    expect(status.failed).toMatchObject([
      { stream: 'alpaca/bars/SPX/1h', state: 'failed', error: expect.stringContaining('invalid symbol: SPX') },
    ])
  })

  test('as a job it ends with 0 also where windows failed: a restart cures none of them', async () => {
    const refuse = { kind: 'error', status: 400, message: 'invalid symbol: SPX' } as const
    const history = await open({ simulator: { faults: [refuse] } })
    await history.plan()
    const { code, json } = await history.cli(['--json', 'backfill', 'run', '--next', '--job'])
    expect([code, json.end]).toEqual([0, 'failed'])
  })

  test('a quota that is used up for an hour ends it with 75 and a time; later it goes on', async () => {
    const history = await open({ simulator: { faults: [undefined, { kind: 'throttle', retryAfter: '3600' }] } })
    const id = await history.plan()
    const { code, json } = await run(history, id, '--concurrency', '1')
    expect(code).toBe(75)
    expect(json).toMatchObject({
      end: 'waits',
      waiting: [
        { stream: 'alpaca/bars/SPX/1h', reason: 'the quota of alpaca is used up', until: expect.stringMatching(/Z$/) },
      ],
    })
    expect(history.bench.simulator.requests).toHaveLength(2)
    // Landed and curated, landed in vain, and not even claimed: the provider had said when it may be asked again.
    expect(await history.bench.query('select epoch from provenance.source_ingest order by lo')).toEqual(
      [2, 1, 0].map((epoch) => ({ epoch })),
    )
    await history.bench.query('update ingest.rate_budget set blocked_until = null')
    await history.bench.query('update provenance.source_ingest set next_attempt_at = null')
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done' } })
    expect(await readLake(history.bench.platform)).toMatchObject({ rows: ROWS, duplicateKeys: 0 })
  })

  test('a provider that stops answering ends it with 75 and what came last; later it goes on', async () => {
    const history = await open({
      simulator: { faults: ({ count }) => (count > 1 ? { kind: 'reset' } : undefined) },
      http: { timeoutMs: 1_000, triesMax: 1 },
    })
    const id = await history.plan()
    const { code, json } = await run(history, id, '--max-wait', '1s')
    expect(code).toBe(75)
    expect(json).toMatchObject({ end: 'waits', waiting: [{ reason: expect.stringContaining('got ECONNRESET') }] })
    history.bench.simulator.setFaults([])
    await history.bench.query('update provenance.source_ingest set next_attempt_at = null')
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done' } })
  })

  test('a stream that is no longer listed while it is backfilled waits for a person, the others go on', async () => {
    const [tsla, spx] = [hours('TSLA', '2010-01-01', '2010-04-01'), hours('SPX', '2010-01-01', '2010-04-01')]
    const history = await open({}, [tsla, spx])
    const id = await history.plan()
    await history.bench.writeStreams([spx])
    await history.bench.plan()
    const { code, json } = await run(history, id)
    expect(code).toBe(75)
    expect(json.waiting).toEqual([
      {
        stream: 'alpaca/bars/TSLA/1h',
        windows: 3,
        until: null,
        reason: 'the stream is paused: no longer listed in the streams file',
      },
    ])
    expect(await states(history)).toEqual({ planned: 3, ...(await spxStates(history)) })
    expect((await history.cli(['backfill', 'run', id, '--job'])).code).toBe(0)
    await history.bench.writeStreams([tsla, spx])
    await history.bench.plan()
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done' } })
  })

  test('does not wait for what a guard holds: it is curated when it is freed', async () => {
    const history = await open()
    const { bench } = history
    const id = await history.plan()
    const [stream] = await bench.query<{ streamId: number }>('select stream_id as "streamId" from ingest.stream')
    const streamId = stream?.streamId ?? 0
    await holdStream(bench.platform.db, {
      stream: { streamId, name: 'alpaca/bars/SPX/1d' },
      reason: 'a column changed',
      actor: 'guard',
    })
    const { code, json } = await run(history, id)
    expect(code).toBe(0)
    expect(json).toMatchObject({ end: 'done', state: 'finished', windows: { held: 3 } })
    expect(await readLake(bench.platform)).toMatchObject({ rows: 0 })
    await freeStream(bench.platform.db, {
      stream: { streamId, name: 'alpaca/bars/SPX/1d' },
      reason: 'it may',
      actor: 'ada',
    })
    await bench.sweep()
    await bench.drain()
    expect(await readLake(bench.platform)).toMatchObject({ rows: ROWS })
  })

  test('takes over what a worker left that is gone: landing, landed or curating', async () => {
    const history = await open()
    const { bench } = history
    const id = await history.plan()
    const ids = await bench.query<{ id: string }>(
      'select source_ingest_id as id from provenance.source_ingest order by lo',
    )
    // One that landed and that nobody was told of; one that was claimed to be curated, and one to be landed.
    await bench.land({ v: 1, sourceIngestId: ids[0]?.id })
    await bench.land({ v: 1, sourceIngestId: ids[1]?.id })
    await bench.query(
      `update provenance.source_ingest set queued_at = now() - interval '1 minute' where state = 'landed'`,
    )
    const gone = `claimed_by = 'gone/1', epoch = epoch + 1, attempts = 1, lease_expires_at = now() - interval '1 second'`
    await bench.query(`update provenance.source_ingest set state = 'curating', ${gone} where source_ingest_id = $1`, [
      ids[1]?.id,
    ])
    await bench.query(`update provenance.source_ingest set state = 'landing', ${gone} where source_ingest_id = $1`, [
      ids[2]?.id,
    ])
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done' } })
    expect(await readLake(bench.platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })
  })

  test('told to stop gives back what it holds and ends with 143; the next start goes on', async () => {
    const history = await open({ simulator: { faults: ({ count }) => (count === 2 ? { kind: 'stall' } : undefined) } })
    const id = await history.plan()
    const stopping = new AbortController()
    const watched = setInterval(() => {
      if (history.bench.simulator.requests.length >= 2) stopping.abort()
    }, 20)
    const stopped = await history.cli(['--json', 'backfill', 'run', id, '--concurrency', '1'], stopping.signal)
    clearInterval(watched)
    expect(stopped).toMatchObject({ code: 143, json: { end: 'stopped' } })
    const held = await history.bench.query(
      `select state, attempts from provenance.source_ingest where claimed_by is not null or state in ('landing', 'curating')`,
    )
    expect(held).toEqual([])
    expect(await run(history, id)).toMatchObject({ code: 0, json: { end: 'done' } })
    expect(await readLake(history.bench.platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })
  })

  test('ends by itself when its time is over, as a job with 0, and hands its windows back', async () => {
    const history = await open({ simulator: { faults: () => ({ kind: 'stall' }) } })
    const id = await history.plan()
    const { code, json } = await run(history, id, '--job', '--stop-after', '1s')
    expect([code, json.end]).toEqual([0, 'time'])
    expect(await states(history)).toEqual({ planned: 3 })
  })

  describe('while the database is away', () => {
    /** Postgres answers nothing while `away` is set. */
    const openWithOutage = async () => {
      const outage = { away: false }
      const hook: IoHook = (operation, run) => {
        if (!outage.away || operation.client !== 'postgres') return run()
        throw new DatabaseUnavailableError(`statement ${operation.subject}: postgres did not answer`)
      }
      return { outage, history: await open({ hook, simulator: { faults: [{ kind: 'latency', ms: 300 }] } }) }
    }

    test('waits, and goes on when it is back', async () => {
      const { outage, history } = await openWithOutage()
      const id = await history.plan()
      const running = run(history, id)
      while (history.bench.simulator.requests.length === 0) await sleep(5)
      outage.away = true
      await sleep(1_500)
      outage.away = false
      // What was under way could not be given back: as if its lease were over.
      await history.bench.query(`update provenance.source_ingest set lease_expires_at = now() where state = 'landing'`)
      expect(await running).toMatchObject({ code: 0, json: { end: 'done' } })
      expect(await readLake(history.bench.platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })
    })

    test('ends with 75 when that takes longer than may be waited', async () => {
      const { outage, history } = await openWithOutage()
      const id = await history.plan()
      const running = run(history, id, '--max-wait', '1s')
      while (history.bench.simulator.requests.length === 0) await sleep(5)
      outage.away = true
      const { code, err } = await running
      outage.away = false
      expect(code).toBe(75)
      expect(err).toContain('postgres did not answer; run it again when postgres is back\n')
    })
  })

  test('refuses a source without its settings before it claims anything', async () => {
    const history = await open()
    const id = await history.plan()
    const without = await openWorkbench({ ...history.services, streams: MONTHS, env: { ALPACA_KEY_ID: '' } })
    onTestFinished(() => without.close())
    const options = {
      backfill: { backfillId: id, newestFirst: false },
      concurrency: 1,
      maxWaitMs: 1_000,
      patient: false,
      stop: new AbortController().signal,
      stopAfterMs: null,
      onProgress: () => undefined,
    }
    await expect(runBackfill(without.platform, options)).rejects.toThrow(
      'source alpaca: expected the settings ALPACA_KEY_ID, got none',
    )
    expect(await states(history)).toEqual({ planned: 3 })
  })

  test('--next takes the oldest that has something to do, and none where there is none', async () => {
    const history = await open({}, [
      hours('TSLA', '2010-02-01', '2010-03-01'),
      hours('SPX', '2010-02-01', '2010-03-01'),
    ])
    const plan = async (stream: string) =>
      (await history.cli(['--json', 'backfill', 'plan', '--stream', stream])).json.backfillId as string
    const [first, second] = [await plan('*/TSLA/*'), await plan('*/SPX/*')]
    await history.cli(['streams', 'pause', '*/TSLA/*', '--reason', 'no key'])
    const next = async () => (await history.cli(['--json', 'backfill', 'run', '--next'])).json.backfillId
    expect(await next()).toBe(second)
    expect(await next()).toBe(null)
    await history.cli(['streams', 'resume', '*/TSLA/*', '--reason', 'a new key'])
    expect(await next()).toBe(first)
  })

  /** What became of the windows of SPX alone. */
  const spxStates = async ({ bench }: Opened) => {
    const rows = await bench.query<{ state: string; count: number }>(
      `select i.state, count(*) from provenance.source_ingest i join ingest.stream s using (stream_id)
        where s.subject = 'SPX' group by i.state`,
    )
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
  }
})
