import { beforeEach, describe, expect, test } from 'vitest'
import { readStatus, statusResponse } from '../../shared/ops/status.ts'
import { type Row, useGround } from '../ingest/ground.ts'

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/

describe('the status', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const read = () => readStatus(ground.platform.db)
  const streamStatus = async () => (await read()).streams[0]

  test('of an empty database has no streams, every state at zero and no alerts', async () => {
    expect(await read()).toEqual({
      now: expect.stringMatching(INSTANT),
      streams: [],
      ingests: {
        planned: 0,
        landing: 0,
        landed: 0,
        curating: 0,
        published: 0,
        empty: 0,
        failed: 0,
        quarantined: 0,
        cancelled: 0,
      },
      openRejects: 0,
      alerts: [],
    })
  })

  test('of a stream says what is fetched, published and accepted, its checkpoint and its head', async () => {
    await ground.stream({
      subject: 'TSLA',
      freshness_sla_s: 3600,
      fetched: '{[2020-01-01,2020-02-01)}',
      published: '{[2020-01-01,2020-01-11),[2020-01-13,2020-01-20)}',
      accepted: '{[2020-01-11,2020-01-12)}',
      planned_until: '2020-01-20',
    })
    expect(await streamStatus()).toEqual({
      stream: 'alpaca/bars/TSLA/1d',
      source: 'alpaca',
      dataset: 'bars',
      params: { symbol: 'TSLA', timeframe: '1d', feed: 'iex', adjustment: 'raw' },
      paused: false,
      pausedReason: null,
      heldReason: null,
      checkpoint: '2020-01-12T00:00:00Z',
      head: '2020-01-20T00:00:00Z',
      freshnessSeconds: expect.any(Number),
      freshnessSlaSeconds: 3600,
      fetched: [{ lo: '2020-01-01T00:00:00Z', hi: '2020-02-01T00:00:00Z' }],
      published: [
        { lo: '2020-01-01T00:00:00Z', hi: '2020-01-11T00:00:00Z' },
        { lo: '2020-01-13T00:00:00Z', hi: '2020-01-20T00:00:00Z' },
      ],
      accepted: [{ lo: '2020-01-11T00:00:00Z', hi: '2020-01-12T00:00:00Z' }],
      rows: 0,
      files: 0,
      holes: [
        {
          lo: '2020-01-12T00:00:00Z',
          hi: '2020-01-13T00:00:00Z',
          reason: 'not planned yet',
          sourceIngestId: null,
        },
      ],
      lastError: null,
      lookback: null,
    })
  })

  test('of a stream without anything published: the checkpoint is its origin, there is no head and no freshness', async () => {
    await ground.stream()
    expect(await streamStatus()).toMatchObject({
      checkpoint: '2020-01-01T00:00:00Z',
      head: null,
      freshnessSeconds: null,
      published: [],
      holes: [],
    })
  })

  test.each([
    ['planned', { state: 'planned' }, 'planned'],
    ['being fetched', { state: 'landing' }, 'landing'],
    ['waiting to be curated', { state: 'landed', landed_epoch: 1 }, 'landed'],
    ['to be tried again', { state: 'planned', error_summary: 'network' }, 'planned: network'],
    ['failed', { state: 'failed', error_summary: 'page 0: status 404' }, 'failed: page 0: status 404'],
    ['quarantined', { state: 'quarantined', error_summary: 'html' }, 'quarantined: html'],
  ])('a hole that is %s says so and names its ingest', async (_name, columns: Row, reason) => {
    const streamId = await ground.stream({ published: '{[2020-01-01,2020-01-03)}' })
    const sourceIngestId = await ground.ingest(streamId, { lo: '2020-01-03', hi: '2020-01-05', ...columns })
    expect((await streamStatus())?.holes).toEqual([
      { lo: '2020-01-03T00:00:00Z', hi: '2020-01-05T00:00:00Z', reason, sourceIngestId },
    ])
  })

  test.each([
    ['its stream is paused', { paused: true, paused_reason: 'auth: 401' }, 'paused: auth: 401'],
    ['history waits', { history: 'backfill' }, 'waits for a backfill'],
    ['the planner has not come to it', {}, 'not planned yet'],
  ])('a hole without an ingest says why: %s', async (_name, columns: Row, reason) => {
    await ground.stream({ published: '{[2020-01-03,2020-01-05)}', ...columns })
    expect((await streamStatus())?.holes).toEqual([
      { lo: '2020-01-01T00:00:00Z', hi: '2020-01-03T00:00:00Z', reason, sourceIngestId: null },
    ])
  })

  test('a failed window that was accepted, or covered by another ingest, is no hole and no error', async () => {
    const columns = { published: '{[2020-01-01,2020-01-11)}', accepted: '{[2020-01-11,2020-01-21)}' }
    const streamId = await ground.stream(columns)
    await ground.ingest(streamId, { state: 'failed', error_summary: 'first' })
    const later = { lo: '2020-01-11', hi: '2020-01-21' }
    await ground.ingest(streamId, { ...later, state: 'quarantined', error_summary: 'second' })
    expect(await streamStatus()).toMatchObject({ holes: [], lastError: null, checkpoint: '2020-01-21T00:00:00Z' })
  })

  test('the last error is the newest of those that still matter', async () => {
    const streamId = await ground.stream()
    const failed = { state: 'failed', error_summary: 'older', finished_at: '2020-02-01' }
    await ground.ingest(streamId, failed)
    await ground.ingest(streamId, {
      ...failed,
      lo: '2020-01-11',
      hi: '2020-01-12',
      error_summary: 'newer',
      finished_at: '2020-02-02',
    })
    expect((await streamStatus())?.lastError).toBe('newer')
  })

  test('counts ingests by state, open rejects, and the rows and files of a stream', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, { state: 'published' })
    await ground.ingest(streamId, { state: 'published' })
    await ground.ingest(streamId, { state: 'failed' })
    await ground.query(
      `insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail, state)
       values ($1, 0, 0, 'missing', 'x', 'open'), ($1, 0, 1, 'missing', 'x', 'waived')`,
      [id],
    )
    await ground.query(
      `insert into curated.partition (dataset, partition_key, stream_id, path, blob_version, etag, sha256, content_sha256,
              rows, bytes, transform_version, contract_version, source_ingest_id)
       select 'bars', 'p' || n, $1, 'path', 1, 'e', 's', 'c', n, 1, 1, 1, $2 from generate_series(1, 3) n`,
      [streamId, id],
    )
    const status = await read()
    expect(status.ingests).toMatchObject({ published: 2, failed: 1, planned: 0 })
    expect(status.openRejects).toBe(1)
    expect(status.streams[0]).toMatchObject({ rows: 6, files: 3 })
  })

  test('every instant is spelled alike, alerts too', async () => {
    const streamId = await ground.stream({ published: '{[2020-01-03,2020-01-05)}' })
    await ground.ingest(streamId, { lo: '2020-01-05', hi: '2020-01-05T00:00:00.000001Z' })
    await ground.query(`insert into ops.alert (kind, severity, subject) values ('hole', 'warning', 'x')`)
    const texts = JSON.stringify(await read()).match(/"\d{4}-\d\d-\d\d[^"]*"/g) ?? []
    expect(texts.length).toBeGreaterThan(8)
    for (const text of texts) expect(JSON.parse(text)).toMatch(INSTANT)
  })

  test('is 200, and 503 without a database', async () => {
    expect((await statusResponse(ground.platform)).status).toBe(200)
    const nowhere = ground.openWorker({ DATABASE_URL: 'postgres://nobody:s3cret-password@127.0.0.1:1/nowhere' })
    expect(await statusResponse(nowhere)).toEqual({ status: 503, body: { error: 'the database does not answer' } })
  })
})
