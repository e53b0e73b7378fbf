import { describe, expect, onTestFinished, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { readLake } from '../support/lake-state.ts'
import { hours, openHistory } from './history.ts'

const MONTHS = [hours('SPX', '2010-01-01', '2010-04-01')]
const ROWS = 61 * 7

describe('a backfill in the hands of an operator', () => {
  const environment = useTestEnvironment()
  const open = async () => {
    const history = await openHistory(environment, MONTHS)
    onTestFinished(() => history.bench.close())
    const id = await history.plan()
    const cli = (verb: string, ...more: string[]) => history.cli(['--json', 'backfill', verb, id, ...more])
    const states = async () => {
      const rows = await history.bench.query<{ state: string; count: number }>(
        `select state, count(*) from provenance.source_ingest where error_class is distinct from 'split' group by state order by state`,
      )
      return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
    }
    return { ...history, id, cli, states }
  }

  test('that is paused has workers that claim nothing and end with 75, until it is resumed', async () => {
    const { bench, id, cli, states } = await open()
    expect((await cli('pause', '--reason', 'quarter end')).json).toEqual({
      backfillId: id,
      before: 'active',
      changed: true,
      windows: 3,
      underWay: 0,
    })
    expect(await cli('run')).toMatchObject({ code: 75, json: { end: 'paused', left: 3 } })
    expect(bench.simulator.requests).toEqual([])
    expect((await cli('resume')).json).toMatchObject({ before: 'paused', changed: true, windows: 3 })
    expect(await cli('run')).toMatchObject({ code: 0, json: { end: 'done' } })
    expect(await states()).toEqual({ published: 3 })
    expect(
      await bench.query(
        `select actor, action, after ->> 'reason' as reason from ops.audit where subject = $1 order by audit_id`,
        [id],
      ),
    ).toEqual([
      { actor: 'test', action: 'plan_backfill', reason: null },
      { actor: 'test', action: 'pause_backfill', reason: 'quarter end' },
      { actor: 'test', action: 'resume_backfill', reason: null },
    ])
  })

  test('that is paused while it runs lets what is under way end, and nothing else begin', async () => {
    const { bench, cli, states } = await open()
    bench.simulator.setFaults([{ kind: 'latency', ms: 1_000 }])
    const running = cli('run', '--concurrency', '1')
    while (bench.simulator.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    expect((await cli('pause')).json).toMatchObject({ windows: 2, underWay: 1 })
    expect(await running).toMatchObject({ code: 75, json: { end: 'paused' } })
    expect(await states()).toEqual({ planned: 2, published: 1 })
  })

  test('that is paused refuses the hints that are in the queue already', async () => {
    const { bench, cli, states } = await open()
    await cli('run', '--enqueue')
    await cli('pause')
    expect(await bench.drain()).toEqual(['refused', 'refused', 'refused'])
    await bench.sweep()
    expect(await bench.drain()).toEqual([])
    await cli('resume')
    await bench.sweep()
    await bench.drain()
    expect(await states()).toEqual({ published: 3 })
  })

  test('that is cancelled gives up what is not begun and keeps what is fetched; another plan takes the rest', async () => {
    const { bench, cli, plan, states } = await open()
    const [first] = await bench.query<{ id: string }>(
      'select source_ingest_id as id from provenance.source_ingest order by lo limit 1',
    )
    await bench.land({ v: 1, sourceIngestId: first?.id })
    expect((await cli('cancel', '--reason', 'too far back')).json).toMatchObject({
      changed: true,
      windows: 2,
      underWay: 1,
    })
    expect(await states()).toEqual({ cancelled: 2, landed: 1 })
    expect(await cli('run')).toMatchObject({ code: 1, json: { end: 'cancelled' } })
    expect(
      await bench.query(
        `select distinct error_class, error_summary from provenance.source_ingest where state = 'cancelled'`,
      ),
    ).toEqual([{ error_class: 'cancelled', error_summary: 'backfill cancelled by test: too far back' }])
    await bench.drain()
    const next = await plan()
    expect(
      (
        await bench.query<{ count: number }>(`select count(*) from provenance.source_ingest where backfill_id = $1`, [
          next,
        ])
      )[0]?.count,
    ).toBe(2)
  })

  test('that is cancelled leaves a window that is under way to its worker, and to the queue where that is gone', async () => {
    const { bench, cli, states } = await open()
    const lease = (when: string) =>
      bench.query(
        `update provenance.source_ingest set state = 'landing', epoch = 1, attempts = 1, claimed_by = 'gone/1', lease_expires_at = now() ${when}
          where lo = '2010-01-01'`,
      )
    await lease(`+ interval '1 minute'`)
    expect((await cli('cancel')).json).toMatchObject({ windows: 2, underWay: 1 })
    await lease(`- interval '1 second'`)
    await bench.sweep()
    await bench.drain()
    expect(await states()).toEqual({ cancelled: 2, published: 1 })
  })

  test('that is cancelled again also gives up what went back to planned since', async () => {
    const { bench, cli, states } = await open()
    await cli('cancel')
    await bench.query(`update provenance.source_ingest set state = 'planned' where lo = '2010-01-01'`)
    expect((await cli('cancel')).json).toMatchObject({ before: 'cancelled', changed: true, windows: 1 })
    expect(await states()).toEqual({ cancelled: 3 })
  })

  test.each([
    ['pause', 'finished', 'expected one that is active, it is finished'],
    ['resume', 'finished', 'expected one that is paused, it is finished'],
    ['cancel', 'finished', 'expected one that is active or paused or cancelled, it is finished'],
    ['resume', 'cancelled', 'expected one that is paused, it is cancelled'],
  ])('does not %s what is %s: exit 2 says what it is', async (verb, state, message) => {
    const { id, cli } = await open()
    await (state === 'cancelled' ? cli('cancel') : cli('run'))
    expect(await cli(verb)).toMatchObject({
      code: 2,
      err: `backfill ${id}: ${message}; plan another for what is missing\n`,
    })
  })

  test.each(['pause', 'resume', 'cancel'])('that is told to %s twice changes once', async (verb) => {
    const { bench, cli } = await open()
    if (verb === 'resume') await cli('pause')
    expect((await cli(verb)).json.changed).toBe(true)
    const before = await bench.query('select count(*) from ops.audit')
    expect(await cli(verb)).toMatchObject({ code: 0, json: { changed: false } })
    expect(await bench.query('select count(*) from ops.audit')).toEqual(before)
  })
})

describe('a backfill in the queue', () => {
  const environment = useTestEnvironment()
  const open = async (streams = MONTHS) => {
    const history = await openHistory(environment, streams)
    onTestFinished(() => history.bench.close())
    return { ...history, id: await history.plan() }
  }

  test('is done by the functions, and finished by the sweep', async () => {
    const { bench, cli, id } = await open()
    expect(await cli(['--json', 'backfill', 'run', id, '--enqueue'])).toMatchObject({
      code: 0,
      json: { backfillId: id, end: 'enqueued', hintsSent: 3 },
    })
    await bench.drain({ atOnce: 4 })
    expect(await readLake(bench.platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })
    await bench.sweep()
    expect((await cli(['--json', 'backfill', 'status', id])).json).toMatchObject({ state: 'finished' })
  })

  test('is not the next of a worker that asks for one', async () => {
    const { cli, id } = await open()
    await cli(['backfill', 'run', id, '--enqueue'])
    expect((await cli(['--json', 'backfill', 'run', '--next'])).json).toEqual({ backfillId: null, end: 'done' })
  })

  test('whose hints were lost has them sent again by the sweep; of a backfill that is a worker’s none are sent', async () => {
    const { bench, cli, id } = await open()
    await bench.sweep()
    expect(await bench.drain()).toEqual([])
    await bench.query('update ingest.backfill set enqueued_at = now()')
    await bench.sweep()
    expect(await bench.platform.queues.receive('land', { countMax: 32, visibilitySeconds: 600 })).toHaveLength(3)
    await bench.sweep()
    await bench.drain()
    expect((await cli(['--json', 'backfill', 'status', id])).json.windows).toMatchObject({ published: 3 })
  })

  test('may have 250 hints out at a time, so that those of the lane live do not stand behind thousands', async () => {
    const { bench, cli, id } = await open(['SPX', 'TSLA'].map((symbol) => hours(symbol, '2000-01-03', '2020-04-18')))
    const [planned] = await bench.query<{ count: number }>(`select count(*) from provenance.source_ingest`)
    expect(planned?.count).toBeGreaterThan(250)
    expect((await cli(['--json', 'backfill', 'run', id, '--enqueue'])).json.hintsSent).toBe(250)
    expect((await cli(['--json', 'backfill', 'run', id, '--enqueue'])).json.hintsSent).toBe(0)
    // Two windows are through: two more may go.
    await bench.query(
      `update provenance.source_ingest set state = 'cancelled' where source_ingest_id in
         (select source_ingest_id from provenance.source_ingest where queued_at is not null limit 2)`,
    )
    expect((await cli(['--json', 'backfill', 'run', id, '--enqueue'])).json.hintsSent).toBe(2)
  })

  test('a window of a finished backfill that a person has replayed is the queue’s', async () => {
    const { bench, cli, id } = await open()
    bench.simulator.setFaults([{ kind: 'error', status: 400, message: 'no' }])
    expect((await cli(['backfill', 'run', id, '--concurrency', '1'])).code).toBe(1)
    await bench.query(
      `update provenance.source_ingest set state = 'planned', attempts = 0, finished_at = null where state = 'failed'`,
    )
    await bench.sweep()
    await bench.drain()
    expect(await readLake(bench.platform)).toMatchObject({ rows: ROWS })
  })
})
