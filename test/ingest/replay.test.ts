import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { replayIngests } from '../../shared/ingest/state/replay.ts'
import { KINDS, STATES, TRANSITIONS } from '../../shared/ingest/state/state-machine.ts'
import { readIngests, readUnpublished } from '../../shared/ingest/state/unpublished.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { openWorkbench, TWO_YEARS, type Workbench } from '../support/workbench.ts'
import { type Row, useGround } from './ground.ts'

const BY = { actor: 'ada', reason: 'mended' }
const FAILED = {
  state: 'failed',
  attempts: 7,
  error_class: 'PermanentError',
  error_summary: '404',
  finished_at: '2020-02-01',
  queued_at: '2020-02-01',
}

describe('a replay', () => {
  const ground = useGround()
  beforeEach(async () => {
    await ground.clear()
    for (const queue of ['land', 'curate']) await ground.platform.queues.ensure(queue)
    await received()
  })
  const replay = async (...ids: string[]) => {
    const ingests = await readIngests(ground.platform.db, ids)
    return replayIngests(ground.platform, { ingests, ...BY })
  }
  const received = async () => {
    const found: string[] = []
    for (const queue of ['land', 'curate']) {
      for (const message of await ground.platform.queues.receive(queue, { countMax: 32, visibilitySeconds: 60 })) {
        await ground.platform.queues.remove(queue, message)
        found.push(`${queue} ${JSON.parse(message.body ?? '{}').sourceIngestId}`)
      }
    }
    return found
  }

  test.each(
    KINDS.flatMap((kind) => STATES.flatMap((state) => [false, true].map((landed) => [kind, state, landed] as const))),
  )('of a %s that is %s (landed: %s) leads where the table of states says, or nowhere', async (kind, state, landed) => {
    const streamId = await ground.stream()
    const what = kind === 'rebuild' ? { lane: 'reprocess', lo: null, hi: null, partition_key: 'p' } : {}
    const id = await ground.ingest(streamId, { ...FAILED, ...what, state, landed_epoch: landed ? 1 : null })
    const expected = TRANSITIONS[kind][state][landed ? 'replayLanded' : 'replayPlanned']
    await replay(id)
    expect((await ground.ingestRow(id)).state).toBe(expected ?? state)
  })

  test('begins as if it had never been tried: no attempts, no pause, no error, and it is told to the queue', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, {
      ...FAILED,
      attempting_since: '2020-01-01',
      next_attempt_at: '2999-01-01',
    })
    await replay(id)
    expect(await ground.ingestRow(id)).toMatchObject({
      state: 'planned',
      attempts: 0,
      attempting_since: null,
      next_attempt_at: null,
      error_class: null,
      error_summary: null,
      finished_at: null,
    })
    expect(await received()).toEqual([`land ${id}`])
  })

  test('leaves its error in the audit, with who and why', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, FAILED)
    await replay(id)
    expect(await ground.query('select actor, action, subject, before, after from ops.audit')).toEqual([
      {
        actor: 'ada',
        action: 'replay_ingest',
        subject: id,
        before: {
          state: 'failed',
          attempts: 7,
          withdrawn: false,
          errorClass: 'PermanentError',
          errorSummary: '404',
          supersededBy: null,
        },
        after: { reason: 'mended', state: 'planned' },
      },
    ])
  })

  test.each([
    [
      'is superseded',
      async (streamId: number) => ({
        superseded_by: await ground.ingest(streamId, { lo: '2020-03-01', hi: '2020-03-02', state: 'published' }),
      }),
      /^is superseded by/,
    ],
    ['is withdrawn', async () => ({ withdrawn_at: '2020-02-01' }), /^is withdrawn/],
    ['was cancelled', async () => ({ state: 'cancelled' }), /^expected failed or quarantined, got cancelled$/],
    [
      'overlaps with an active one',
      async (streamId: number) => {
        await ground.ingest(streamId, { lo: '2020-01-10', hi: '2020-01-12' })
        return {}
      },
      /^overlaps with ingest .*, planned, 2020-01-10T00:00:00Z … 2020-01-12T00:00:00Z/,
    ],
  ] as const)(
    'is refused for one that %s, and stops no other',
    async (_what, columns: (streamId: number) => Promise<Row>, why) => {
      const streamId = await ground.stream()
      const refused = await ground.ingest(streamId, { ...FAILED, ...(await columns(streamId)) })
      const other = await ground.ingest(streamId, { ...FAILED, lo: '2020-02-01', hi: '2020-02-02' })
      const before = await ground.ingestRow(refused)
      const results = await replay(refused, other)
      expect(results.find(({ sourceIngestId }) => sourceIngestId === refused)).toMatchObject({
        outcome: 'refused',
        why: expect.stringMatching(why),
      })
      expect(results.find(({ sourceIngestId }) => sourceIngestId === other)).toMatchObject({ outcome: 'replayed' })
      expect(await ground.ingestRow(refused)).toEqual(before)
    },
  )

  test('of a rebuild is told to curate; of a window of a backfill to nobody, its job claims it', async () => {
    const streamId = await ground.stream()
    const rebuild = await ground.ingest(streamId, {
      ...FAILED,
      lane: 'reprocess',
      lo: null,
      hi: null,
      partition_key: 'p',
    })
    const window = await ground.ingest(streamId, { ...FAILED, lane: 'backfill' })
    const landed = await ground.ingest(streamId, {
      ...FAILED,
      lane: 'backfill',
      lo: '2020-02-01',
      hi: '2020-02-02',
      landed_epoch: 1,
    })
    await replay(rebuild, window, landed)
    expect(await ground.ingestRow(window)).toMatchObject({ state: 'planned', queued_at: null })
    expect((await received()).sort()).toEqual([`curate ${landed}`, `curate ${rebuild}`].sort())
  })

  test('of one that is under way or published is needless', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, { state: 'published' })
    expect(await replay(id)).toMatchObject([{ outcome: 'needless', state: 'published', why: 'is published' }])
    expect(await ground.query('select count(*) from ops.audit')).toEqual([{ count: 0 }])
  })
})

describe('what waits for a replay', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const waiting = async () =>
    (await readUnpublished(ground.platform.db, { states: ['failed', 'quarantined'] })).map(
      ({ sourceIngestId }) => sourceIngestId,
    )

  test('is what failed and nothing has read or accepted since', async () => {
    const streamId = await ground.stream({
      published: '{[2020-01-01,2020-02-01)}',
      accepted: '{[2020-02-01,2020-03-01)}',
    })
    await ground.ingest(streamId, FAILED)
    await ground.ingest(streamId, { ...FAILED, lo: '2020-02-01', hi: '2020-02-05' })
    const half = await ground.ingest(streamId, { ...FAILED, lo: '2020-02-20', hi: '2020-03-05' })
    expect(await waiting()).toEqual([half])
  })

  test('is a lookback until a later one has read all of its window', async () => {
    const streamId = await ground.stream({ published: '{[2020-01-01,2020-02-01)}' })
    const id = await ground.ingest(streamId, { ...FAILED, lane: 'lookback' })
    const later = { lane: 'lookback', state: 'published', planned_at: '2020-01-02' }
    await ground.ingest(streamId, { ...later, planned_at: '2019-12-31' })
    await ground.ingest(streamId, { ...later, hi: '2020-01-05' })
    expect(await waiting()).toEqual([id])
    await ground.ingest(streamId, { ...later, lo: '2020-01-05' })
    expect(await waiting()).toEqual([])
  })

  test('is no version of a file that another has taken the place of', async () => {
    const streamId = await ground.stream()
    const file = { ...FAILED, lane: 'import', lo: null, hi: null, parameters: { name: 'a.csv', version: 1 } }
    await ground.ingest(streamId, { ...file, withdrawn_at: '2020-02-01' })
    const id = await ground.ingest(streamId, { ...file, parameters: { name: 'b.csv', version: 3 } })
    const found = await readUnpublished(ground.platform.db, { states: ['failed'] })
    expect(found).toMatchObject([{ sourceIngestId: id, subject: 'b.csv version 3', lo: null }])
  })
})

describe('a replay of what has landed', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })

  test('publishes from raw and asks the provider nothing (I7)', async () => {
    const bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      streams: [TWO_YEARS],
    })
    opened.push(bench)
    await bench.plan()
    const [{ id = '' } = {}] = await bench.query<{ id: string }>(
      'select source_ingest_id as id from provenance.source_ingest',
    )
    await bench.land({ v: 1, sourceIngestId: id })
    await bench.query(
      `update provenance.source_ingest set state = 'quarantined', error_class = 'ContractError', error_summary = 'html'`,
    )
    const asked = bench.simulator.requests.length
    await replayIngests(bench.platform, { ingests: await readIngests(bench.platform.db, [id]), ...BY })
    expect(await bench.drain()).toContain('published')
    expect(bench.simulator.requests.length).toBe(asked)
  })
})
