import { beforeEach, describe, expect, test } from 'vitest'
import { type Row, useGround } from '../ingest/ground.ts'

const PUBLISHED = { published: '{[2020-01-01,2020-01-11)}', fetched: '{[2020-01-01,2020-01-11)}' }
const AFTER = { lo: '2020-01-11', hi: '2020-01-21' }

describe("the view ingest.state, ADR-002's state of an instrument and timeframe", () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const state = async () => {
    const rows = await ground.query<{ state: Row }>('select to_jsonb(s) as state from ingest.state s')
    return rows.map((row) => row.state)
  }
  const status = async () => (await state()).map(({ status, message }) => ({ status, message }))

  test('has the columns of ADR-002', async () => {
    const streamId = await ground.stream({ subject: 'TSLA', ...PUBLISHED, updated_at: '2020-02-01' })
    await ground.ingest(streamId, { state: 'published', finished_at: '2020-02-02' })
    expect(await state()).toEqual([
      {
        instrument_id: 'TSLA',
        timeframe: '1d',
        last_ts: '2020-01-11T00:00:00+00:00',
        status: 'success',
        updated_at: '2020-02-02T00:00:00+00:00',
        message: null,
      },
    ])
  })

  test('failed: the window beyond what is published failed, and the message says why', async () => {
    const streamId = await ground.stream(PUBLISHED)
    await ground.ingest(streamId, { ...AFTER, state: 'failed', error_summary: 'page 0: status 404' })
    expect(await status()).toEqual([{ status: 'failed', message: 'page 0: status 404' }])
  })

  test('failed: also where older windows were planned later, or in the same tick', async () => {
    const streamId = await ground.stream(PUBLISHED)
    await ground.ingest(streamId, { ...AFTER, state: 'quarantined', error_summary: 'html' })
    await ground.ingest(streamId, { state: 'published' })
    await ground.ingest(streamId, { state: 'published', planned_at: '2020-03-01' })
    expect(await status()).toEqual([{ status: 'failed', message: 'html' }])
  })

  test('success: what failed was covered by another ingest or accepted', async () => {
    const streamId = await ground.stream({ ...PUBLISHED, accepted: '{[2020-01-11,2020-01-21)}' })
    await ground.ingest(streamId, { state: 'failed', error_summary: 'old' })
    await ground.ingest(streamId, { ...AFTER, state: 'failed', error_summary: 'accepted' })
    expect(await status()).toEqual([{ status: 'success', message: null }])
  })

  test('partial: there is a hole behind the newest published window, failed or not', async () => {
    const streamId = await ground.stream({ published: '{[2020-01-01,2020-01-11),[2020-01-21,2020-01-31)}' })
    expect((await status())[0]?.status).toBe('partial')
    await ground.ingest(streamId, { ...AFTER, state: 'failed', error_summary: 'x' })
    expect((await status())[0]?.status).toBe('partial')
  })

  test('partial: published with rejects, until they are replayed or waived', async () => {
    const streamId = await ground.stream(PUBLISHED)
    const id = await ground.ingest(streamId, { state: 'published' })
    await ground.query(
      `insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail) values ($1, 0, 0, 'missing', 'x')`,
      [id],
    )
    expect((await status())[0]?.status).toBe('partial')
    await ground.query(`update provenance.reject set state = 'waived'`)
    expect((await status())[0]?.status).toBe('success')
  })

  test('partial: nothing is published yet', async () => {
    await ground.stream()
    expect(await state()).toMatchObject([
      { last_ts: '2020-01-01T00:00:00+00:00', status: 'partial', message: 'nothing published yet' },
    ])
  })

  test.each([
    ['paused', { paused: true, paused_reason: 'auth: 401' }, 'paused: auth: 401'],
    ['held', { held_reason: 'schema changed' }, 'held: schema changed'],
  ])('a stream that is %s says so', async (_name, columns: Row, message) => {
    await ground.stream({ ...PUBLISHED, ...columns })
    expect(await status()).toEqual([{ status: 'success', message }])
  })

  test('a rebuild that failed takes nothing from what is published', async () => {
    const streamId = await ground.stream(PUBLISHED)
    await ground.ingest(streamId, { lane: 'reprocess', lo: null, hi: null, state: 'failed', error_summary: 'x' })
    expect((await status())[0]?.status).toBe('success')
  })
})
