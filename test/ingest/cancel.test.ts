import { beforeEach, describe, expect, test } from 'vitest'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { cancelIngest } from '../../shared/ingest/state/cancel.ts'
import { ACTIVE_STATES, KINDS, STATES, TRANSITIONS } from '../../shared/ingest/state/state-machine.ts'
import { readIngests } from '../../shared/ingest/state/unpublished.ts'
import { useGround } from './ground.ts'

const BY = { actor: 'ada', reason: 'wrong window' }

describe('a cancel by a person', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const cancel = async (id: string) => {
    const [ingest] = await readIngests(ground.platform.db, [id])
    if (ingest === undefined) throw new Error(`ingest ${id}: expected it, got none`)
    return cancelIngest(ground.platform.db, { ingest, ...BY })
  }
  const coverage = async (streamId: number) => {
    const { fetched, published } = await ground.streamRow(streamId)
    return { fetched, published }
  }

  test.each(KINDS.flatMap((kind) => STATES.map((state) => [kind, state] as const)))(
    'of a %s that is %s leads where the table of states says, or is refused',
    async (kind, state) => {
      const streamId = await ground.stream()
      const what = kind === 'rebuild' ? { lane: 'reprocess', lo: null, hi: null, partition_key: 'p' } : {}
      const id = await ground.ingest(streamId, { ...what, state })
      const outcome = await cancel(id).then(
        () => 'cancelled',
        () => 'refused',
      )
      const expected = state === 'cancelled' || TRANSITIONS[kind][state].cancel !== null ? 'cancelled' : 'refused'
      expect(outcome).toBe(expected)
      expect((await ground.ingestRow(id)).state).toBe(expected === 'cancelled' ? 'cancelled' : state)
    },
  )

  test('takes the ingest from a worker that has it: it can land nothing any more', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, {
      state: 'landing',
      epoch: 3,
      claimed_by: 'w/1',
      lease_expires_at: '2999-01-01',
    })
    await ground.page({ id, epoch: 3 })
    const claim = await ground.claimOf(id)
    await cancel(id)
    await expect(markLanded(ground.platform.db, claim)).rejects.toThrow(/another worker holds it or it is done/)
    expect(await coverage(streamId)).toEqual({ fetched: '{}', published: '{}' })
  })

  test('of what had landed makes its window a hole, which the planner plans again', async () => {
    const streamId = await ground.stream({
      until: '2020-01-11',
      fetched: '{[2020-01-01,2020-01-11)}',
      published: '{[2020-01-01,2020-01-03)}',
    })
    const id = await ground.ingest(streamId, { state: 'landed', landed_epoch: 1 })
    await cancel(id)
    expect((await coverage(streamId)).fetched).toBe('{["2020-01-01 00:00:00+00","2020-01-03 00:00:00+00")}')
    await planWindows(ground.platform.db, { initiatedBy: 'test', pipelineRunId: null })
    const planned = await ground.query(
      `select lo::date::text as lo, hi::date::text as hi from provenance.source_ingest where state = 'planned'`,
    )
    expect(planned).toEqual([{ lo: '2020-01-03', hi: '2020-01-11' }])
  })

  test('of a lookback that had landed leaves what is published covered', async () => {
    const range = '{["2020-01-01 00:00:00+00","2020-01-11 00:00:00+00")}'
    const streamId = await ground.stream({ fetched: range, published: range })
    const id = await ground.ingest(streamId, { state: 'landed', landed_epoch: 1, lane: 'lookback' })
    await cancel(id)
    expect(await coverage(streamId)).toEqual({ fetched: range, published: range })
  })

  test('is refused where rows of it may be in a curated file', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, { state: 'landed', landed_epoch: 1 })
    await ground.query(
      `insert into curated.partition_ingest (dataset, partition_key, source_ingest_id, landed_epoch, transform_version, inserted, updated, unchanged, superseded)
       values ('bars', 'p', $1, 1, 1, 1, 0, 0, 0)`,
      [id],
    )
    await expect(cancel(id)).rejects.toThrow(
      `ingest ${id}: expected no row of it in curated files, got 1 files that may have some; it can only be finished (a stuck worker: tributary lease break ${id})`,
    )
  })

  test('is refused for a rebuild that takes rows away', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, {
      lane: 'reprocess',
      lo: null,
      hi: null,
      partition_key: 'p',
      by_mark: true,
    })
    await expect(cancel(id)).rejects.toThrow(/got the rebuild that takes away rows of a version that no longer counts/)
  })

  test('of what failed says what to do instead', async () => {
    const id = await ground.ingest(await ground.stream(), { state: 'failed' })
    await expect(cancel(id)).rejects.toThrow(
      `ingest ${id}: expected one of ${ACTIVE_STATES.join(', ')} to cancel, got failed; replay it, or accept its window: tributary coverage accept`,
    )
  })

  test('says in the audit who and why, once', async () => {
    const id = await ground.ingest(await ground.stream())
    expect(await cancel(id)).toMatchObject({ changed: true })
    expect(await cancel(id)).toMatchObject({ changed: false })
    expect(await ground.query('select actor, action, subject, after from ops.audit')).toEqual([
      { actor: 'ada', action: 'cancel_ingest', subject: id, after: { reason: 'wrong window', state: 'cancelled' } },
    ])
  })
})
