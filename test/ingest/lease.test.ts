import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { CancelledError, DatabaseUnavailableError, LeaseLostError } from '../../shared/errors.ts'
import { listInPartition } from '../../shared/ingest/curate/partition-listing.ts'
import { publish } from '../../shared/ingest/curate/publish.ts'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { type Claim, claimToCurate, claimToLand } from '../../shared/ingest/state/claim.ts'
import { holdLease } from '../../shared/ingest/state/lease.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import type { Queryable } from '../../shared/postgres/database.ts'
import { recordRawPage } from '../../shared/provenance/raw-page.ts'
import { emptyIngest } from './empty-ingest.ts'
import { requestOf, useGround } from './ground.ts'

const LANDED = { state: 'landed', epoch: 1, landed_epoch: 1, records: 0 }
const POLL = { timeout: 20_000, interval: 20 }

describe('a lease', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const land = async (id: string, leaseSeconds: number) =>
    (await claimToLand(ground.platform.db, { ...requestOf(ground.platform, id), leaseSeconds })) as Claim
  const hold = (claim: Claim, { leaseSeconds = 1, db = ground.platform.db as Queryable, stop = never() } = {}) =>
    holdLease({ db, claim, leaseSeconds, stop, log: ground.platform.log })

  test('is renewed while the worker works', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 1)
    const expiry = async () => String((await ground.ingestRow(claim.sourceIngestId)).lease_expires_at)
    const first = await expiry()
    const lease = hold(claim)
    await vi.waitUntil(async () => (await expiry()) > first, POLL)
    const second = await expiry()
    await vi.waitUntil(async () => (await expiry()) > second, POLL)
    expect(lease.signal.aborted).toBe(false)
    lease.end()
  })

  test('that cannot be renewed stops the worker', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 1)
    const down: Queryable = {
      async query() {
        throw new DatabaseUnavailableError('down')
      },
    }
    const lease = hold(claim, { db: down })
    await aborted(lease.signal)
    expect(lease.signal.reason).toEqual(
      new LeaseLostError(
        `lease of ingest ${claim.sourceIngestId} epoch 1: expected a renewal within two thirds, got none`,
      ),
    )
    expect(ground.logged.filter(({ event }) => event === 'lease_not_renewed')).not.toEqual([])
    lease.end()
  })

  test('without a renewal ends for its worker at two thirds, before another may take the ingest', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 60)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const lease = hold(claim, { leaseSeconds: 60 })
    vi.advanceTimersByTime(39_999)
    expect(lease.signal.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    lease.end()
  })

  test('whose renewal hangs stops the worker as well', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 1)
    const lease = hold(claim, { db: { query: () => new Promise(() => undefined) } })
    await aborted(lease.signal)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    lease.end()
  })

  test('that another worker has taken stops the worker at its next renewal', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 1)
    const lease = hold(claim)
    await ground.query('update provenance.source_ingest set epoch = 2')
    await aborted(lease.signal)
    expect(String(lease.signal.reason)).toContain('another worker holds it or it is done')
    lease.end()
  })

  test('ends when the worker is told to stop, with a reason that gives the attempt back', async () => {
    const claim = await land(await ground.ingest(await ground.stream()), 60)
    const stop = new AbortController()
    const lease = hold(claim, { leaseSeconds: 60, stop: stop.signal })
    stop.abort()
    expect(lease.signal.reason).toBeInstanceOf(CancelledError)
    lease.end()
    expect(hold(claim, { stop: stop.signal }).signal.reason).toBeInstanceOf(CancelledError)
  })
})

/** How a worker lost its ingest: its lease ran out, and then another worker claimed it, or not yet. */
const LOST = ['taken over by the sweep', 'claimed by another worker'] as const

describe.each(LOST)('I5 no zombie wins: an ingest %s', (how) => {
  const ground = useGround()
  beforeEach(() => ground.clear())

  const loseLanding = async () => {
    const id = await ground.ingest(await ground.stream())
    const zombie = await claimed(claimToLand(ground.platform.db, requestOf(ground.platform, id)))
    await ground.page({ id, epoch: zombie.epoch })
    await lose(id)
    if (how === LOST[1]) await claimed(claimToLand(ground.platform.db, requestOf(ground.platform, id)))
    return zombie
  }
  const loseCurating = async () => {
    const id = await ground.ingest(await ground.stream(), LANDED)
    const zombie = await claimed(claimToCurate(ground.platform.db, requestOf(ground.platform, id)))
    await lose(id)
    if (how === LOST[1]) await claimed(claimToCurate(ground.platform.db, requestOf(ground.platform, id)))
    return zombie
  }
  const lose = async (id: string) => {
    await ground.query(`update provenance.source_ingest set lease_expires_at = now() - interval '1 second'`)
    await sweep(ground.platform)
    expect((await ground.ingestRow(id)).claimed_by).toBeNull()
  }
  const changesNothing = async (write: () => Promise<unknown>) => {
    const before = await ground.everything()
    await write()
    expect(await ground.everything()).toEqual(before)
  }

  test('takes no raw page of it', async () => {
    const { sourceIngestId, epoch } = await loseLanding()
    const page = {
      sourceIngestId,
      epoch,
      pageNo: 1,
      path: 'zombie',
      observedAt: 0n,
      requestFingerprint: 'x',
      sha256: 'x',
      storedBytes: 1,
      bodyBytes: 1,
      recordCount: 1,
      httpStatus: 200,
      token: null,
      nextToken: null,
      isLast: true,
    }
    await changesNothing(async () => expect(await recordRawPage(ground.platform.db, page)).toBe(false))
  })

  test('does not land by it', async () => {
    const zombie = await loseLanding()
    await changesNothing(() => expect(markLanded(ground.platform.db, zombie)).rejects.toThrow(LeaseLostError))
  })

  test('does not land by it either where its chain is not complete', async () => {
    const zombie = await loseLanding()
    await ground.query('delete from provenance.raw_page')
    await changesNothing(() => expect(markLanded(ground.platform.db, zombie)).rejects.toThrow(LeaseLostError))
  })

  test('is not listed in a partition by it', async () => {
    const claim = await loseCurating()
    const outcomes = { inserted: 1, updated: 0, unchanged: 0, superseded: 0 }
    const request = { claim, partitionKey: 'p', transformVersion: 1, outcomes, keepCounts: false }
    await changesNothing(() => expect(listInPartition(ground.platform.db, request)).rejects.toThrow(LeaseLostError))
  })

  test('is not published by it', async () => {
    const zombie = await loseCurating()
    await changesNothing(() =>
      expect(publish(ground.platform.db, zombie, emptyIngest(), [])).rejects.toThrow(LeaseLostError),
    )
  })

  test('is not renewed by it', async () => {
    const zombie = await loseLanding()
    const db = ground.platform.db
    const lease = holdLease({ db, claim: zombie, leaseSeconds: 1, stop: never(), log: ground.platform.log })
    await changesNothing(() => aborted(lease.signal))
    lease.end()
  })
})

describe('what a window must prove to land', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const TOKEN = 'a'.repeat(64)

  test.each([
    ['no page at all', []],
    [
      'a page is missing in the middle',
      [
        { page_no: 0, is_last: false, next_token_sha256: TOKEN },
        { page_no: 2, token_sha256: TOKEN },
      ],
    ],
    ['the first page is missing', [{ page_no: 1 }]],
    ['the last page was not the last', [{ is_last: false, next_token_sha256: TOKEN }]],
    ['a page after the last', [{ is_last: true }, { page_no: 1, is_last: true }]],
    [
      'a page that was asked with another token',
      [
        { is_last: false, next_token_sha256: TOKEN },
        { page_no: 1, token_sha256: 'b'.repeat(64) },
      ],
    ],
    ['a page that is kept only as evidence', [{ record_count: null }]],
  ])('%s: it does not', async (_name, pages) => {
    const id = await ground.ingest(await ground.stream(), { state: 'landing', epoch: 1 })
    for (const page of pages) await ground.page({ id, epoch: 1 }, page)
    await expect(markLanded(ground.platform.db, await ground.claimOf(id))).rejects.toThrow(
      `ingest ${id} epoch 1: expected a complete chain of pages, got ${pages.length} that are none`,
    )
    expect((await ground.ingestRow(id)).state).toBe('landing')
  })

  test('a whole chain: its counts are summed, and pages of other epochs do not matter', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, { state: 'landing', epoch: 2 })
    await ground.page({ id, epoch: 1 }, { is_last: false, record_count: 99, next_token_sha256: TOKEN })
    await ground.page({ id, epoch: 2 }, { is_last: false, record_count: 3, next_token_sha256: TOKEN })
    await ground.page({ id, epoch: 2 }, { page_no: 1, record_count: 4, token_sha256: TOKEN })
    expect(await markLanded(ground.platform.db, await ground.claimOf(id))).toBe('landed')
    expect(await ground.ingestRow(id)).toMatchObject({ pages: 2, records: 7, body_bytes: 40, landed_epoch: 2 })
    expect(await ground.streamRow(streamId)).toMatchObject({
      fetched: '{["2020-01-01 00:00:00+00","2020-01-11 00:00:00+00")}',
      published: '{}',
    })
  })

  test('a complete answer without records covers at once, as fetched and as published', async () => {
    const streamId = await ground.stream()
    const id = await ground.ingest(streamId, { state: 'landing', epoch: 1 })
    await ground.page({ id, epoch: 1 }, { record_count: 0 })
    expect(await markLanded(ground.platform.db, await ground.claimOf(id))).toBe('empty')
    const window = '{["2020-01-01 00:00:00+00","2020-01-11 00:00:00+00")}'
    expect(await ground.streamRow(streamId)).toMatchObject({ fetched: window, published: window })
    expect(await ground.ingestRow(id)).toMatchObject({
      records: 0,
      inserted: 0,
      outside: 0,
      checkpoint_after: '2020-01-11T00:00:00+00:00',
    })
  })
})

function never(): AbortSignal {
  return new AbortController().signal
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function claimed<T>(claim: Promise<T | null>): Promise<T> {
  const got = await claim
  if (got === null) throw new Error('ingest: expected to be claimed, got a refusal')
  return got
}
