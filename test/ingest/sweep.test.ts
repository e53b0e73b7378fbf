import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { expireOwnLeases, sweep, sweepTick } from '../../shared/ingest/sweep.ts'
import type { Platform } from '../../shared/platform.ts'
import { type Row, useGround } from './ground.ts'

const PAST = '2020-01-01'
const HELD = { epoch: 1, attempts: 1, attempting_since: PAST, claimed_by: 'gone/1', lease_expires_at: PAST }

describe('the sweep', () => {
  const ground = useGround()
  beforeAll(async () => {
    for (const queue of ['land', 'curate']) await ground.platform.queues.ensure(queue)
  })
  beforeEach(async () => {
    await ground.clear()
    await received()
  })
  /** Ids in the queues, which are empty afterwards. */
  const received = async () => {
    const found: Record<string, string[]> = { land: [], curate: [] }
    for (const queue of ['land', 'curate']) {
      const messages = await ground.platform.queues.receive(queue, { countMax: 32, visibilitySeconds: 60 })
      for (const message of messages) {
        await ground.platform.queues.remove(queue, message)
        found[queue]?.push(JSON.parse(message.body ?? '{}').sourceIngestId)
      }
    }
    return found
  }

  test.each([
    ['landing', 'planned', 'land'],
    ['curating', 'landed', 'curate'],
  ])('takes over an expired lease of %s: it is %s again and its hint is sent to %s', async (state, back, queue) => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, state, landed_epoch: 1 })
    expect(await sweep(ground.platform)).toEqual({ takenOver: 1, sent: 1 })
    expect(await ground.ingestRow(id)).toMatchObject({
      state: back,
      epoch: 1,
      attempts: 1,
      claimed_by: null,
      lease_expires_at: null,
      error_class: 'LeaseExpired',
      error_summary: 'worker gone/1 did not renew its lease in epoch 1',
    })
    expect((await received())[queue]).toEqual([id])
  })

  test('leaves a lease that has not run out', async () => {
    await ground.ingest(await ground.stream(), { ...HELD, state: 'landing', lease_expires_at: '2999-01-01' })
    expect(await sweep(ground.platform)).toEqual({ takenOver: 0, sent: 0 })
  })

  test('a process that is killed again and again ends in quarantine, and only then', async () => {
    const exhausted = { ...HELD, attempts: 10, state: 'landing' }
    const often = await ground.ingest(await ground.stream(), exhausted)
    const seldom = await ground.ingest(await ground.stream(), { ...exhausted, attempts: 9 })
    const recent = await ground.ingest(await ground.stream(), { ...exhausted, attempting_since: 'now' })
    await sweep(ground.platform)
    const states = await Promise.all([often, seldom, recent].map(async (id) => (await ground.ingestRow(id)).state))
    expect(states).toEqual(['quarantined', 'planned', 'planned'])
  })

  test('several sweeps at once take over each lease once', async () => {
    const workers = [ground.platform, ground.openWorker(), ground.openWorker()]
    const streamId = await ground.stream()
    for (let round = 0; round < 3; round++) {
      await ground.query(
        `insert into provenance.source_ingest (source_ingest_id, stream_id, lane, lo, hi, state, epoch, attempts, claimed_by,
                lease_expires_at, queued_at, parameters, initiated_by)
         select gen_random_uuid(), $1, 'backfill', day, day + interval '1 day', 'landing', 1, 1, 'gone/1', '2020-01-01', now(), '{}', 'test'
           from generate_series($2::date, $2::date + 99, interval '1 day') day`,
        [streamId, `${2020 + round}-01-01`],
      )
      const swept = await Promise.all(workers.map((worker) => sweep(worker)))
      expect(swept.reduce((sum, { takenOver }) => sum + takenOver, 0)).toBe(100)
    }
  })

  test('sends a hint that was never sent, once', async () => {
    const id = await ground.ingest(await ground.stream())
    expect((await sweep(ground.platform)).sent).toBe(1)
    expect((await sweep(ground.platform)).sent).toBe(0)
    expect(await received()).toEqual({ land: [id], curate: [] })
  })

  test.each([
    ['was sent a quarter of an hour ago', { queued_at: PAST }, 'land'],
    ['is a backfill that has landed', { lane: 'backfill', state: 'landed', landed_epoch: 1 }, 'curate'],
    ['is a rebuild', { lane: 'reprocess', lo: null, hi: null }, 'curate'],
    ['was due to be tried again', { next_attempt_at: PAST }, 'land'],
  ])('sends what %s', async (_why, columns: Row, queue) => {
    const id = await ground.ingest(await ground.stream(), columns)
    expect((await sweep(ground.platform)).sent).toBe(1)
    expect((await received())[queue]).toEqual([id])
  })

  test.each([
    ['was sent just now', { queued_at: 'now' }],
    ['is not due yet', { next_attempt_at: '2999-01-01' }],
    ['is a window that a backfill claims itself', { lane: 'backfill' }],
    ['is done', { state: 'published' }],
  ])('does not send what %s', async (_why, columns: Row) => {
    await ground.ingest(await ground.stream(), columns)
    expect((await sweep(ground.platform)).sent).toBe(0)
  })

  test('does not send what waits for a paused stream, and keeps sending what waits for a held one', async () => {
    await ground.ingest(await ground.stream({ paused: true, paused_reason: 'by hand' }))
    const held = await ground.stream({ held_reason: 'schema changed' })
    const id = await ground.ingest(held, { state: 'landed', landed_epoch: 1 })
    await sweep(ground.platform)
    expect(await received()).toEqual({ land: [], curate: [id] })
  })

  test('of an instance that is alone gives up at once what it held before, and sends every hint again', async () => {
    const mine = {
      ...HELD,
      lease_expires_at: '2999-01-01',
      queued_at: 'now',
      claimed_by: `${ground.platform.instance}/7`,
    }
    const own = await ground.ingest(await ground.stream(), { ...mine, state: 'landing' })
    const theirs = await ground.ingest(await ground.stream(), { ...mine, state: 'landing', claimed_by: 'other/7' })
    const waiting = await ground.ingest(await ground.stream(), { queued_at: 'now' })
    await expireOwnLeases(ground.platform)
    expect(await sweep(ground.platform)).toEqual({ takenOver: 1, sent: 2 })
    expect((await received()).land?.sort()).toEqual([own, waiting].sort())
    expect((await ground.ingestRow(theirs)).state).toBe('landing')
  })

  test('a tick is a pipeline run with its end', async () => {
    await sweepTick(ground.platform)
    expect(
      await ground.query('select job, status, error_summary, finished_at is not null as ended from ops.pipeline_runs'),
    ).toEqual([{ job: 'sweep', status: 'success', error_summary: null, ended: true }])
  })
})

/** How a state that is worth an alert comes and goes, all on the stream `alpaca/bars/TSLA/1d`. */
type Standing = {
  readonly kind: string
  readonly severity: string
  readonly subject?: string
  readonly stream?: Row
  readonly ingest?: Row
  readonly also?: string
  readonly mend: string
}

const COVERED = '{[2020-01-01,2020-01-11)}'
const OPEN_END = { published: COVERED, interval_s: 900 }
const STANDING: readonly Standing[] = [
  {
    kind: 'quarantine',
    severity: 'critical',
    ingest: { state: 'quarantined', planned_at: 'now', error_summary: 'html' },
    mend: `update provenance.source_ingest set state = 'cancelled'`,
  },
  {
    kind: 'failed_ingest',
    severity: 'critical',
    ingest: { state: 'failed', planned_at: 'now', error_summary: '404' },
    mend: `update ingest.stream set accepted = '${COVERED}'`,
  },
  {
    kind: 'hole',
    severity: 'warning',
    ingest: { state: 'landed', landed_epoch: 1, planned_at: PAST, queued_at: 'now' },
    mend: `update ingest.stream set published = '${COVERED}'`,
  },
  {
    kind: 'auth',
    severity: 'critical',
    stream: { paused: true, paused_reason: 'auth: status 401' },
    mend: `update ingest.stream set paused = false, paused_reason = null`,
  },
  {
    kind: 'freshness',
    severity: 'warning',
    stream: { ...OPEN_END, freshness_sla_s: 86_400, interval_s: 900, created_at: 'now' },
    mend: `update ingest.stream set published = tstzmultirange(tstzrange('2020-01-01', date_trunc('second', now())))`,
  },
  {
    kind: 'no_publish',
    severity: 'warning',
    stream: OPEN_END,
    mend: `update ingest.stream set published = tstzmultirange(tstzrange('2020-01-01', date_trunc('second', now())))`,
  },
  {
    kind: 'rejects',
    severity: 'warning',
    ingest: { state: 'published' },
    also: `insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail)
           select source_ingest_id, 0, 3, 'missing', 'no close' from provenance.source_ingest`,
    mend: `update provenance.reject set state = 'waived'`,
  },
  {
    kind: 'failed_run',
    severity: 'critical',
    subject: 'plan-ingests',
    also: `insert into ops.pipeline_runs (run_id, job, status, error_summary, started_at)
           values ('0192f5a0-1111-7222-8333-444455556666', 'plan-ingests', 'failure', 'x', '2020-01-01')`,
    mend: `insert into ops.pipeline_runs (run_id, job, status)
           values ('0192f5a0-1111-7222-8333-444455556667', 'plan-ingests', 'success')`,
  },
]

describe('alerts of the sweep', () => {
  const ground = useGround()
  beforeAll(async () => {
    for (const queue of ['land', 'curate']) await ground.platform.queues.ensure(queue)
  })
  beforeEach(() => ground.clear())
  const alerts = () =>
    ground.query('select kind, severity, subject, closed_at is null as open from ops.alert order by alert_id')

  for (const { kind, severity, subject = 'alpaca/bars/TSLA/1d', stream, ingest, also, mend } of STANDING) {
    test(`${kind} opens once, stays open while it holds, and closes once`, async () => {
      const streamId = await ground.stream({
        subject: 'TSLA',
        until: '2020-01-11',
        ...(stream?.published ? { until: null } : {}),
        ...stream,
      })
      if (ingest !== undefined) await ground.ingest(streamId, ingest)
      if (kind !== 'no_publish' && kind !== 'freshness')
        await ground.query(`update ingest.stream set interval_s = null`)
      if (also !== undefined) await ground.query(also)
      await sweep(ground.platform)
      await sweep(ground.platform)
      expect(await alerts()).toEqual([{ kind, severity, subject, open: true }])
      await ground.query(mend)
      await sweep(ground.platform)
      await sweep(ground.platform)
      expect(await alerts()).toEqual([{ kind, severity, subject, open: false }])
      const told = ground.logged.filter(({ event }) => event === 'alert_opened' || event === 'alert_closed')
      expect(told.map((line) => [line.event, line.kind, line.subject])).toEqual([
        ['alert_opened', kind, subject],
        ['alert_closed', kind, subject],
      ])
    })
  }

  test('one that comes again opens a new one', async () => {
    await ground.ingest(await ground.stream({ interval_s: null }), { state: 'failed', planned_at: 'now' })
    await sweep(ground.platform)
    await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
    await sweep(ground.platform)
    await ground.query(`update provenance.source_ingest set state = 'failed'`)
    await sweep(ground.platform)
    expect((await alerts()).map(({ open }) => open)).toEqual([false, true])
  })

  test('a healthy stream has none', async () => {
    await ground.stream({
      published: '{[2020-01-01,2020-01-11)}',
      until: '2020-01-11',
      freshness_sla_s: 60,
    })
    await sweep(ground.platform)
    expect(await alerts()).toEqual([])
  })

  test('of messages close by themselves after a day of quiet', async () => {
    await ground.query(
      `insert into ops.alert (kind, severity, subject, last_seen_at)
       values ('poison_message', 'critical', 'land', now() - interval '25 hours'), ('bad_message', 'warning', 'land', now())`,
    )
    await sweep(ground.platform)
    expect(await alerts()).toEqual([
      { kind: 'poison_message', severity: 'critical', subject: 'land', open: false },
      { kind: 'bad_message', severity: 'warning', subject: 'land', open: true },
    ])
  })
})

describe('the alert webhook', () => {
  const posted: { readonly path: string | undefined; readonly body: Record<string, unknown> }[] = []
  let status = 200
  const server = createServer((incoming, outgoing) => {
    let text = ''
    incoming.on('data', (chunk) => {
      text += chunk
    })
    incoming.on('end', () => {
      posted.push({ path: incoming.url, body: JSON.parse(text) })
      outgoing.writeHead(status).end('whatever')
    })
  })
  const ground = useGround()
  let platform: Platform
  let url: string
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/s3cr3t-path`
    platform = ground.openWorker({ TRIBUTARY_ALERT_WEBHOOK_URL: url })
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  beforeEach(async () => {
    await ground.clear()
    posted.length = 0
    status = 200
    await ground.ingest(await ground.stream({ subject: 'TSLA', interval_s: null }), {
      state: 'failed',
      error_summary: 'status 404',
      planned_at: 'now',
    })
  })
  const events = () => posted.map(({ body }) => body.event)

  test('gets one post when an alert opens and one when it closes', async () => {
    await sweep(platform)
    await sweep(platform)
    expect(posted).toEqual([
      {
        path: '/hook/s3cr3t-path',
        body: {
          event: 'alert_opened',
          kind: 'failed_ingest',
          severity: 'critical',
          subject: 'alpaca/bars/TSLA/1d',
          opened_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/),
          detail: { ingests: 1, error: 'status 404', source_ingest_id: expect.any(String) },
        },
      },
    ])
    await ground.query(`update provenance.source_ingest set state = 'cancelled'`)
    await sweep(platform)
    await sweep(platform)
    expect(events()).toEqual(['alert_opened', 'alert_closed'])
  })

  test('that fails is tried again by the next sweep, until it takes the alert', async () => {
    status = 500
    await sweep(platform)
    await sweep(platform)
    expect(events()).toEqual(['alert_opened', 'alert_opened'])
    expect(ground.logged.filter(({ event }) => event === 'alert_opened')).toEqual([])
    status = 200
    await sweep(platform)
    await sweep(platform)
    expect(events()).toEqual(['alert_opened', 'alert_opened', 'alert_opened'])
    expect(ground.logged.filter(({ event }) => event === 'alert_opened')).toHaveLength(1)
  })

  test('that is not there fails no sweep', async () => {
    const nowhere = ground.openWorker({ TRIBUTARY_ALERT_WEBHOOK_URL: 'http://127.0.0.1:9/s3cr3t-path' })
    await sweep(nowhere)
    expect(ground.logged.filter(({ event }) => event === 'alert_webhook_failed')).toHaveLength(1)
    expect(JSON.stringify(ground.logged)).not.toContain('s3cr3t-path')
  })
})
