import { beforeEach, describe, expect, test } from 'vitest'
import { CancelledError, ConfigError, OutdatedError, ThrottledError, TransientError } from '../../shared/errors.ts'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { claimToCurate, claimToLand, stateOf } from '../../shared/ingest/state/claim.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { parseInstant } from '../../shared/instant.ts'
import { type Row, requestOf, useGround } from './ground.ts'

const LANDED = { state: 'landed', epoch: 1, landed_epoch: 1, records: 1 }

/** Why a claim is refused although the state is right. */
const REFUSED: readonly { readonly because: string; readonly stream?: Row; readonly ingest?: Row }[] = [
  { because: 'its next attempt is due in an hour', ingest: { next_attempt_at: '2999-01-01' } },
  { because: 'its stream is paused', stream: { paused: true, paused_reason: 'by hand' } },
  { because: 'a newer transform has touched it', ingest: { transform_version: 1_000_000 } },
  { because: 'this worker does not know its source', stream: { source: 'nobody' } },
  { because: 'a person withdrew it', ingest: { withdrawn_at: '2020-01-01' } },
]

describe('a claim', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const land = (id: string, platform = ground.platform) => claimToLand(platform.db, requestOf(platform, id))
  const curate = (id: string, platform = ground.platform) => claimToCurate(platform.db, requestOf(platform, id))

  for (const { because, stream, ingest } of REFUSED) {
    test(`is refused because ${because}, and takes no epoch, no attempt and no lease`, async () => {
      const planned = await ground.ingest(await ground.stream(stream), ingest)
      const landed = await ground.ingest(await ground.stream(stream), { ...LANDED, ...ingest })
      const rebuild = { lane: 'reprocess', lo: null, hi: null, ...ingest }
      const rebuilt = await ground.ingest(await ground.stream(stream), rebuild)
      const before = await ground.everything()
      expect([await land(planned), await curate(landed), await curate(rebuilt)]).toEqual([null, null, null])
      expect(await ground.everything()).toEqual(before)
    })
  }

  test('is refused because a newer version supersedes the ingest', async () => {
    const streamId = await ground.stream()
    const newer = await ground.ingest(streamId, { lane: 'import', lo: null, hi: null, state: 'published' })
    const older = await ground.ingest(streamId, { lane: 'import', lo: null, hi: null, superseded_by: newer, ...LANDED })
    const before = await ground.everything()
    expect(await curate(older)).toBeNull()
    expect(await ground.everything()).toEqual(before)
  })

  test('is refused for an ingest that does not exist', async () => {
    const id = '0192f000-0000-7000-8000-000000000000'
    expect(await land(id)).toBeNull()
    expect(await stateOf(ground.platform.db, id)).toBeNull()
  })

  test('of a held stream: landing goes on, curating is refused, a rebuild is not held', async () => {
    const streamId = await ground.stream({ held_reason: 'schema changed' })
    const planned = await ground.ingest(streamId)
    const landed = await ground.ingest(streamId, { ...LANDED, lo: '2021-01-01', hi: '2021-01-02' })
    const rebuild = await ground.ingest(streamId, { lane: 'reprocess', lo: null, hi: null })
    const before = await ground.ingestRow(landed)
    expect(await curate(landed)).toBeNull()
    expect(await ground.ingestRow(landed)).toEqual(before)
    expect((await land(planned))?.epoch).toBe(1)
    expect((await curate(rebuild))?.epoch).toBe(1)
  })

  test('takes one epoch, one attempt and a lease by the clock of the database, and returns its time', async () => {
    const streamId = await ground.stream({ published: '{[2020-01-01,2020-01-11)}' })
    const id = await ground.ingest(streamId, { lo: '2020-01-11', hi: '2020-01-21', epoch: 4, attempts: 2 })
    const claim = await land(id)
    const row = await ground.ingestRow(id)
    expect(row).toMatchObject({
      state: 'landing',
      epoch: 5,
      attempts: 3,
      claimed_by: ground.platform.worker,
      next_attempt_at: null,
      checkpoint_before: '2020-01-11T00:00:00+00:00',
    })
    expect(claim).toMatchObject({ sourceIngestId: id, epoch: 5, streamId, source: 'alpaca', dataset: 'bars' })
    expect(claim?.claimedAt).toBe(parseInstant(String(row.started_at)))
    expect(parseInstant(String(row.lease_expires_at))).toBe((claim?.claimedAt ?? 0n) + 60_000_000n)
  })

  test('to curate names the pages of the epoch that landed and of no other, in order, and the transform version', async () => {
    const id = await ground.ingest(await ground.stream(), { ...LANDED, epoch: 5, landed_epoch: 3 })
    await ground.page({ id, epoch: 2 })
    await ground.page({ id, epoch: 3 }, { page_no: 1, record_count: 7, sha256: 'b'.repeat(64) })
    await ground.page({ id, epoch: 3 }, { page_no: 0, is_last: false, record_count: 5, sha256: 'a'.repeat(64) })
    const claim = await curate(id)
    expect(claim).toMatchObject({ epoch: 6, landedEpoch: 3, partitionKey: null })
    expect(claim?.pages.map(({ pageNo, path, recordCount }) => [pageNo, path, recordCount])).toEqual([
      [0, `${id}/3/0`, 5],
      [1, `${id}/3/1`, 7],
    ])
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'curating', transform_version: 1, attempts: 1 })
  })

  test('is given to exactly one of two workers that ask at once', async () => {
    const other = ground.openWorker({ TRIBUTARY_INSTANCE: 'other' })
    const streamId = await ground.stream()
    for (let round = 0; round < 20; round++) {
      const window = { lo: `${2000 + round}-01-01`, hi: `${2001 + round}-01-01` }
      const id = await ground.ingest(streamId, window)
      const claims = await Promise.all([land(id), land(id, other), land(id), land(id, other)])
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1)
      expect(await ground.ingestRow(id)).toMatchObject({ epoch: 1, attempts: 1 })
    }
  })

  test('landed resets the attempts', async () => {
    const id = await ground.ingest(await ground.stream(), { attempts: 6, attempting_since: '2020-01-01' })
    const claim = await land(id)
    await ground.page({ id, epoch: 1 })
    await markLanded(ground.platform.db, claim ?? (await ground.claimOf(id)))
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'landed', attempts: 0, attempting_since: null })
  })

  test.each([
    ['throttled', new ThrottledError('slow down', { retryAfterMs: 90_000 })],
    ['outdated', new OutdatedError('a newer worker')],
    ['told to stop', new CancelledError('stop')],
    ['without a setting', new ConfigError(['ALPACA_KEY_ID: expected a value, got none'])],
  ])('gives its attempt back when the worker is %s', async (_why, error) => {
    const row = { attempts: 3, attempting_since: '2020-01-01' }
    const id = await ground.ingest(await ground.stream(), row)
    await land(id)
    expect(await settle(ground.platform, await ground.claimOf(id), error)).toBe('given-back')
    expect(await ground.ingestRow(id)).toMatchObject({
      state: 'planned',
      epoch: 1,
      attempts: 3,
      attempting_since: '2020-01-01T00:00:00+00:00',
      claimed_by: null,
      lease_expires_at: null,
    })
  })

  test('an attempt that was given back does not start the day after which a quarantine is due', async () => {
    const id = await ground.ingest(await ground.stream())
    await land(id)
    await settle(ground.platform, await ground.claimOf(id), new ThrottledError('slow down', { retryAfterMs: 0 }))
    expect(await ground.ingestRow(id)).toMatchObject({ attempts: 0, attempting_since: null })
  })

  test('a failure that may pass keeps its attempt and waits at most an hour', async () => {
    const id = await ground.ingest(await ground.stream(), { attempts: 30 })
    await land(id)
    await settle(ground.platform, await ground.claimOf(id), new TransientError('network'))
    const [wait] = await ground.query<{ hour: boolean }>(
      `select next_attempt_at between now() - interval '1 minute' and now() + interval '1 hour' as hour
         from provenance.source_ingest where source_ingest_id = $1`,
      [id],
    )
    expect(wait).toEqual({ hour: true })
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'planned', attempts: 31, error_summary: 'network' })
  })
})
