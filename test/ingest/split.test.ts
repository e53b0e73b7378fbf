import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { ThrottledError } from '../../shared/errors.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { QuotaGoneError, WindowTooLargeError } from '../../shared/ingest/state/split.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { readLake } from '../support/lake-state.ts'
import { openWorkbench } from '../support/workbench.ts'
import { DAY_S, type IngestRow, useGround } from './ground.ts'

const HELD = { state: 'landing', epoch: 1, attempts: 1, attempting_since: '2020-01-01' }
const tooLarge = new WindowTooLargeError('expected at most 32 pages, the provider has more')
const quotaGone = new QuotaGoneError('no token left', { retryAfterMs: 60_000 })

describe('a window that is too large', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const settled = async (id: string, error: Error) => settle(ground.platform, await ground.claimOf(id), error)
  const halvesOf = async (id: string) => {
    const found = await ground.query<{ half: IngestRow }>(
      'select to_jsonb(i) as half from provenance.source_ingest i where split_of = $1 order by lo',
      [id],
    )
    return found.map(({ half }) => half)
  }

  test.each([
    ['even', DAY_S, '2020-01-01', '2020-01-11', '2020-01-06'],
    ['odd', DAY_S, '2020-01-01', '2020-01-04', '2020-01-02'],
    ['two granules', DAY_S, '2020-01-01', '2020-01-03', '2020-01-02'],
    ['minutes', 60, '2020-01-01T00:00', '2020-01-01T00:07', '2020-01-01T00:03'],
    ['five hours', 3600, '2020-01-01T22:00', '2020-01-02T03:00', '2020-01-02T00:00'],
  ])('is split at the middle that lies on the granularity: %s', async (_name, granularity, lo, hi, middle) => {
    const streamId = await ground.stream({ granularity_s: granularity })
    const id = await ground.ingest(streamId, { ...HELD, lo, hi, lane: 'backfill', parameters: { symbol: 'A' } })
    expect(await settled(id, tooLarge)).toBe('split')
    const half = { state: 'planned', lane: 'backfill', stream_id: streamId, epoch: 0, parameters: { symbol: 'A' } }
    const [first, second, ...more] = await halvesOf(id)
    expect(more).toEqual([])
    expect(first).toMatchObject({ ...half, lo: utc(lo), hi: utc(middle) })
    expect(second).toMatchObject({ ...half, lo: utc(middle), hi: utc(hi) })
  })

  test('ends as cancelled with the class split and keeps its raw pages', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    await ground.page({ id, epoch: 1 })
    await settled(id, tooLarge)
    expect(await ground.ingestRow(id)).toMatchObject({
      state: 'cancelled',
      error_class: 'split',
      error_summary: 'expected at most 32 pages, the provider has more',
      claimed_by: null,
      lease_expires_at: null,
    })
    expect(await ground.query('select count(*) as pages from provenance.raw_page')).toEqual([{ pages: 1 }])
  })

  test('of one granule is quarantined', async () => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, hi: '2020-01-02' })
    expect(await settled(id, tooLarge)).toBe('quarantined')
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'quarantined', error_class: 'WindowTooLargeError' })
    expect(await halvesOf(id)).toEqual([])
  })

  test('that has landed is never split', async () => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, state: 'curating', landed_epoch: 1 })
    expect(await settled(id, tooLarge)).toBe('quarantined')
    expect(await halvesOf(id)).toEqual([])
  })

  test('of a worker that lost its lease is not split', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    const zombie = await ground.claimOf(id)
    await ground.query('update provenance.source_ingest set epoch = 2')
    const before = await ground.everything()
    expect(await settle(ground.platform, zombie, tooLarge)).toBe('lease-lost')
    expect(await ground.everything()).toEqual(before)
  })

  test('for its quota, gone in the middle of the chain, is split too', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    expect(await settled(id, quotaGone)).toBe('split')
    expect(await halvesOf(id)).toHaveLength(2)
  })

  test('for its quota and of one granule starts again', async () => {
    const id = await ground.ingest(await ground.stream(), { ...HELD, hi: '2020-01-02' })
    expect(await settled(id, quotaGone)).toBe('given-back')
    expect(await ground.ingestRow(id)).toMatchObject({ state: 'planned', attempts: 0 })
  })

  test('for its quota, gone before the first page, only waits', async () => {
    const id = await ground.ingest(await ground.stream(), HELD)
    expect(await settled(id, new ThrottledError('no token left', { retryAfterMs: 60_000 }))).toBe('given-back')
    expect(await halvesOf(id)).toEqual([])
  })
})

describe('a provider that asks for a long pause in the middle of a chain', () => {
  const environment = useTestEnvironment()

  test('has its window split, and nothing is lost or doubled', async () => {
    const bench = await openWorkbench({
      databaseUrl: environment.databaseUrl,
      storageConnectionString: environment.storageConnectionString,
      simulator: { faults: [{ kind: 'empty-page' }, { kind: 'throttle', retryAfter: '60' }] },
    })
    onTestFinished(() => bench.close())
    await bench.plan()
    expect(await bench.drain()).toEqual(['split'])
    await bench.query('update ingest.rate_budget set blocked_until = null')
    await bench.settle()
    expect(
      await bench.query('select state, count(*) as n from provenance.source_ingest group by 1 order by 1'),
    ).toEqual([
      { state: 'cancelled', n: 1 },
      { state: 'published', n: 2 },
    ])
    expect(await readLake(bench.platform)).toEqual({ rows: 500, duplicateKeys: 0, wrongHashes: [] })
  })

  test('before its first page only waits', async () => {
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      simulator: { faults: [{ kind: 'throttle', retryAfter: '60' }] },
    })
    onTestFinished(() => bench.close())
    await bench.plan()
    expect(await bench.drain()).toEqual(['given-back'])
  })
})

function utc(text: string): string {
  return `${text.includes('T') ? `${text}:00` : `${text}T00:00:00`}+00:00`
}
