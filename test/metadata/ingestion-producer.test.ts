import { beforeEach, describe, expect, test } from 'vitest'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import { type DispatchSource, dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { ENDED_INGEST, TELL_INGESTION } from '../../shared/metadata/producers/ingestion.ts'
import { type Row, useGround } from '../ingest/ground.ts'

/** As the statements that end an ingest carry it. */
const END = `
with done as (
  update provenance.source_ingest i
     set state = $2::text, finished_at = '2020-02-01T00:00:05Z', error_class = $3::text, error_summary = $4::text
   where i.source_ingest_id = $1::uuid
  returning ${ENDED_INGEST}
), told as (${TELL_INGESTION}
)
select state from done`

const OURS = { cluster: 'c1', workspace: 'w1', tenant: 'ours' }

const ENDED = {
  epoch: 2,
  landed_epoch: 1,
  started_at: '2020-02-01T00:00:00Z',
  pages: 1,
  body_bytes: 1234,
  records: 6,
  inserted: 1,
  updated: 1,
  unchanged: 1,
  superseded: 1,
  rejected: 1,
  outside: 1,
  transform_version: 3,
  parameters: { symbol: 'TSLA', nothing: null },
  checkpoint_before: '2020-01-01',
  checkpoint_after: '2020-01-11',
}

describe('ingestion.v1', () => {
  const ground = useGround()
  beforeEach(async () => {
    await ground.clear()
    await ground.query(`
      with a as (delete from metadata.record), b as (delete from metadata.record_key), c as (delete from metadata.latest),
           d as (delete from metadata.outbox), e as (delete from metadata.reject)
      select`)
  })
  const end = (id: string, state: string, error: readonly [string, string] | null = null) =>
    ground.query(END, [id, state, ...(error ?? [null, null])])
  const dispatch = () => {
    const source: DispatchSource = {
      db: ground.platform.db,
      log: ground.platform.log,
      kinds: fixedKinds(KINDS),
      environment: OURS,
    }
    return dispatchAll(dispatchHere(source, createNameBook()))
  }
  const repository = () => {
    const store = { db: ground.platform.db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    return openPostgresRepository({ store, environment: OURS })
  }
  const ended = async (columns: Row = {}, state = 'published', error?: readonly [string, string]) => {
    const streamId = await ground.stream({ subject: 'TSLA' })
    const id = await ground.ingest(streamId, { ...ENDED, state: 'curating', ...columns })
    await end(id, state, error)
    return id
  }
  const told = async (kind: string) => (await repository().query({ kind })).records

  test('a published ingest tells its volume, in the words of the records', async () => {
    const runId = await ended({ backfill_id: null, pipeline_run_id: '00000000-0000-7000-8000-000000000001' })
    expect(await dispatch()).toMatchObject({ stored: 2, rejected: 0 })
    const [record] = await told('ingestion_volume')
    const target = { sourceId: 'alpaca', schema: 'bars', table: 'TSLA/1d' }
    expect(record).toMatchObject({
      target,
      context: { namespace: 'ingest', jobId: 'alpaca/bars/TSLA/1d', runId, environment: OURS },
      producerId: 'ingestion.v1',
      scope: '',
      window: { start: '2020-01-01T00:00:00.000000Z', end: '2020-01-11T00:00:00.000000Z' },
      effectiveAt: '2020-01-11T00:00:00.000000Z',
      links: { outputs: [target], parent: '00000000-0000-7000-8000-000000000001' },
      extras: { lane: 'live', initiatedBy: 'test' },
    })
    expect(record?.payload).toEqual({
      records: 6,
      inserted: 1,
      updated: 1,
      unchanged: 1,
      superseded: 1,
      rejected: 1,
      outside: 1,
      bytes: 1234,
      pages: 1,
      files: 0,
      filter: { symbol: 'TSLA', nothing: null },
      watermark: { before: '2020-01-01T00:00:00.000000Z', after: '2020-01-11T00:00:00.000000Z' },
    })
  })

  test('and how it went', async () => {
    await ended({ epoch: 5 })
    await dispatch()
    const [record] = await told('ingestion_runtime')
    expect(record).toMatchObject({ outcome: 'pass', extras: { lane: 'live' } })
    expect(record?.payload).toEqual({
      state: 'published',
      startedAt: '2020-02-01T00:00:00.000000Z',
      finishedAt: '2020-02-01T00:00:05.000000Z',
      durationMs: 5000,
      claims: 5,
      retries: 3,
      transformVersion: 3,
    })
  })

  test('an empty window has a volume of nothing, of one claim', async () => {
    const none = { records: 0, inserted: 0, updated: 0, unchanged: 0, superseded: 0, rejected: 0, outside: 0 }
    await ended({ ...none, epoch: 1, landed_epoch: 1, transform_version: null }, 'empty')
    expect(await dispatch()).toMatchObject({ stored: 2, rejected: 0 })
    expect((await told('ingestion_volume'))[0]?.payload).toMatchObject(none)
    expect((await told('ingestion_runtime'))[0]).toMatchObject({
      outcome: 'pass',
      payload: { state: 'empty', retries: 0 },
    })
  })

  test.each(['failed', 'quarantined'])('one that is %s tells why, and has no volume', async (state) => {
    await ended({ records: null }, state, ['ContractError', 'page 0: expected json'])
    expect(await dispatch()).toMatchObject({ stored: 1, rejected: 0 })
    expect(await told('ingestion_runtime')).toMatchObject([
      { outcome: 'fail', payload: { state, error: { class: 'ContractError', summary: 'page 0: expected json' } } },
    ])
  })

  test.each(['planned', 'landed', 'cancelled'])('one that is %s tells nothing', async (state) => {
    await ended({}, state)
    expect(await dispatch()).toMatchObject({ stored: 0, rejected: 0 })
  })

  test('a run that failed and was published after a replay is two ends and one volume, and no conflict', async () => {
    const id = await ended({ epoch: 1, landed_epoch: null }, 'failed', ['PermanentError', 'refused'])
    await ground.query('update provenance.source_ingest set epoch = 3, landed_epoch = 2')
    await end(id, 'published')
    expect(await dispatch()).toMatchObject({ stored: 3, rejected: 0 })
    const ends = (await told('ingestion_runtime')).map(({ payload }) => payload.state)
    expect(ends.sort()).toEqual(['failed', 'published'])
    const latest = await repository().latest({
      target: { sourceId: 'alpaca', schema: 'bars', table: 'TSLA/1d' },
      kind: 'ingestion_runtime',
    })
    expect(latest?.record.payload.state).toBe('published')
  })

  test('an old window that is backfilled is not the latest', async () => {
    const streamId = await ground.stream({ subject: 'TSLA' })
    const newest = await ground.ingest(streamId, { ...ENDED, state: 'curating' })
    const old = await ground.ingest(streamId, {
      ...ENDED,
      state: 'curating',
      lane: 'backfill',
      lo: '2019-01-01',
      hi: '2019-01-11',
    })
    await end(newest, 'published')
    await end(old, 'published')
    expect(await dispatch()).toMatchObject({ stored: 4 })
    const target = { sourceId: 'alpaca', schema: 'bars', table: 'TSLA/1d' }
    const latest = await repository().latest({ target, kind: 'ingestion_volume' })
    expect(latest?.record.context.runId).toBe(newest)
  })

  test('a rebuild tells how it went, of its partition alone', async () => {
    const counts = { records: null, superseded: null, rejected: null, outside: null, removed: 2 }
    const partition = 'timeframe=1d/symbol=TSLA/year=2020'
    await ended({
      ...ENDED,
      ...counts,
      lane: 'reprocess',
      lo: null,
      hi: null,
      epoch: 1,
      landed_epoch: null,
      partition_key: partition,
    })
    expect(await dispatch()).toMatchObject({ stored: 1, rejected: 0 })
    expect(await told('ingestion_runtime')).toMatchObject([
      {
        scope: partition,
        extras: { rebuild: { inserted: 1, updated: 1, unchanged: 1, removed: 2 } },
        payload: { retries: 0 },
      },
    ])
  })

  test('a file has no window: when it was published is its time', async () => {
    await ended({ lane: 'import', lo: null, hi: null, parameters: { name: 'a.csv', version: 2 } })
    expect(await dispatch()).toMatchObject({ stored: 2, rejected: 0 })
    const [record] = await told('ingestion_volume')
    expect(record).toMatchObject({ payload: { filter: { name: 'a.csv', version: 2 } } })
    expect(record).not.toHaveProperty('window')
    expect(record?.effectiveAt).toBe(record?.producedAt)
  })

  test('no text fails the statement: what the kinds refuse is a reject, and the ingest has ended', async () => {
    const streamId = await ground.stream({ subject: `a\nb\\"'${'ä'.repeat(300)}` })
    const deep = JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) as Row
    const id = await ground.ingest(streamId, { ...ENDED, state: 'curating', parameters: deep })
    await end(id, 'published', ['', `'"\\ \u2028${'x'.repeat(9_000)}`])
    expect((await ground.ingestRow(id)).state).toBe('published')
    expect(await dispatch()).toMatchObject({ stored: 0, rejected: 2 })
  })

  test('what rolls back tells nothing', async () => {
    const streamId = await ground.stream({ subject: 'TSLA' })
    const id = await ground.ingest(streamId, { ...ENDED, state: 'curating' })
    const work = ground.platform.db.transaction(async (tx) => {
      await tx.query({ name: 'test end', text: END }, [id, 'published', null, null])
      throw new Error('no')
    })
    await expect(work).rejects.toThrow('no')
    expect(await dispatch()).toMatchObject({ stored: 0 })
  })
})
