import { beforeEach, describe, expect, test } from 'vitest'
import { sweep } from '../../shared/ingest/sweep.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { DAY_S, useGround } from '../ingest/ground.ts'

/** Published until its end, 2020-03-01, and not late. */
const PUBLISHED = '{[2020-01-01,2020-03-01)}'
const STREAM = { lookback_s: 3 * DAY_S, fetched: PUBLISHED, published: PUBLISHED, until: '2020-03-01' }

describe('a lookback that fails', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const openAlerts = async () => {
    await sweep(ground.platform)
    const rows = await ground.query<{ kind: string }>(
      'select kind from ops.alert where closed_at is null order by kind',
    )
    return rows.map(({ kind }) => kind)
  }
  const WINDOW = { lane: 'lookback', lo: '2020-02-20', hi: '2020-03-01', planned_at: '2020-03-02' }
  const LATER = { lane: 'lookback', state: 'published', planned_at: '2020-03-03' }

  test.each([
    ['failed', 'failed_ingest'],
    ['quarantined', 'quarantine'],
  ])(
    'and is %s alerts until later ingests have read all of its window, although it is published',
    async (state, kind) => {
      const id = await ground.stream(STREAM)
      await ground.ingest(id, { ...LATER, planned_at: '2020-03-01', lo: '2020-02-20', hi: '2020-03-01' })
      await ground.ingest(id, { ...WINDOW, state, error_summary: 'html' })
      expect(await openAlerts()).toEqual([kind])
      await ground.ingest(id, { ...LATER, lo: '2020-02-20', hi: '2020-02-25' })
      await ground.ingest(id, { ...LATER, lo: '2020-02-25', hi: '2020-03-01', state: 'failed' })
      expect(await openAlerts()).toContain(kind)
      await ground.ingest(id, {
        ...LATER,
        lo: '2020-02-25',
        hi: '2020-03-03',
        state: 'empty',
        planned_at: '2020-03-04',
      })
      expect(await openAlerts()).toEqual([])
    },
  )

  test('alerts no longer once a person has accepted its window', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...WINDOW, state: 'failed' })
    expect(await openAlerts()).toEqual(['failed_ingest'])
    await ground.query(`update ingest.stream set accepted = '{[2020-02-20,2020-03-01)}'`)
    expect(await openAlerts()).toEqual([])
  })

  test('is no hole: what it would have read again is published', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...WINDOW, state: 'landing' })
    expect((await readStatus(ground.platform.db)).streams[0]).toMatchObject({
      holes: [],
      lookback: { state: 'landing' },
    })
    expect(await openAlerts()).toEqual([])
  })
})

describe('the status of a lookback', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const lookback = async () => (await readStatus(ground.platform.db)).streams[0]?.lookback
  const PIECE = { lane: 'lookback', planned_at: '2020-03-02T03:30:00Z', finished_at: '2020-03-02T03:31:00Z' }
  const NEWER = { ...PIECE, state: 'published', lo: '2020-02-20', hi: '2020-03-01', inserted: 1, updated: 2 }

  test('is that of all pieces of the newest run together', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, { ...NEWER, planned_at: '2020-03-01T03:30:00Z', inserted: 1000 })
    await ground.ingest(id, NEWER)
    await ground.ingest(id, {
      ...NEWER,
      lo: '2020-02-10',
      hi: '2020-02-20',
      updated: 5,
      finished_at: '2020-03-02T03:32:00Z',
    })
    await ground.ingest(id, { ...PIECE, state: 'empty', lo: '2020-02-09', hi: '2020-02-10' })
    expect(await lookback()).toEqual({
      plannedAt: '2020-03-02T03:30:00Z',
      finishedAt: '2020-03-02T03:32:00Z',
      lo: '2020-02-09T00:00:00Z',
      hi: '2020-03-01T00:00:00Z',
      state: 'published',
      inserted: 2,
      updated: 7,
    })
  })

  test.each([
    [['published', 'landed', 'landing'], 'landing'],
    [['curating', 'planned', 'failed'], 'planned'],
    [['empty', 'quarantined', 'failed'], 'failed'],
    [['empty', 'cancelled', 'published'], 'cancelled'],
  ])('of pieces that are %s is %s', async (states, state) => {
    const id = await ground.stream(STREAM)
    for (const [day, state] of states.entries()) {
      const at = (offset: number) => `2020-02-0${day + offset}`
      await ground.ingest(id, { ...PIECE, state, landed_epoch: 1, lo: at(1), hi: at(2) })
    }
    expect(await lookback()).toMatchObject({ state })
  })

  test('has not finished while a piece is under way', async () => {
    const id = await ground.stream(STREAM)
    await ground.ingest(id, NEWER)
    await ground.ingest(id, { ...PIECE, state: 'landing', finished_at: null, lo: '2020-02-10', hi: '2020-02-20' })
    expect(await lookback()).toMatchObject({ state: 'landing', finishedAt: null })
  })
})
