import { beforeEach, describe, expect, test } from 'vitest'
import { reconcileAlerts } from '../../shared/ops/standing-alerts.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { type Row, useGround } from '../ingest/ground.ts'

const FILE = { lane: 'import', lo: null, hi: null, parameters: { name: 'a.csv', version: 1 } }
const REBUILD = { lane: 'reprocess', lo: null, hi: null, partition_key: 'k', state: 'quarantined' }

describe('alerts of ingests without a window', () => {
  const ground = useGround()
  beforeEach(() => ground.clear())
  const alerts = async () => {
    await reconcileAlerts(ground.platform.db)
    const open = await ground.query<{ kind: string }>(
      `select kind from ops.alert where closed_at is null and kind in ('failed_ingest', 'quarantine', 'rejects') order by kind`,
    )
    return open.map(({ kind }) => kind)
  }

  test.each([
    ['failed', {}, ['failed_ingest']],
    ['quarantined', {}, ['quarantine']],
    ['failed', { withdrawn_at: '2020-02-01' }, []],
    ['published', {}, []],
  ])('a file that is %s %j', async (state, columns: Row, expected) => {
    await ground.ingest(await ground.stream(), { ...FILE, state, ...columns })
    expect(await alerts()).toEqual(expected)
  })

  test('a failed version alerts until another takes its place', async () => {
    const streamId = await ground.stream()
    const failed = await ground.ingest(streamId, { ...FILE, state: 'failed' })
    expect(await alerts()).toEqual(['failed_ingest'])
    const next = { ...FILE, state: 'published', parameters: { name: 'a.csv', version: 2 } }
    const by = await ground.ingest(streamId, next)
    await ground.query('update provenance.source_ingest set superseded_by = $1 where source_ingest_id = $2', [
      by,
      failed,
    ])
    expect(await alerts()).toEqual([])
  })

  test('a rebuild that is quarantined alerts until a later one of its partition is published', async () => {
    const streamId = await ground.stream()
    await ground.ingest(streamId, { ...REBUILD, planned_at: '2020-01-02' })
    await ground.ingest(streamId, { ...REBUILD, state: 'published', planned_at: '2020-01-01' })
    await ground.ingest(streamId, { ...REBUILD, state: 'published', planned_at: '2020-01-03', partition_key: 'other' })
    expect(await alerts()).toEqual(['quarantine'])
    await ground.ingest(streamId, { ...REBUILD, state: 'published', planned_at: '2020-01-03' })
    expect(await alerts()).toEqual([])
  })

  test('rejects of a version that was withdrawn are nobody’s to mend', async () => {
    const id = await ground.ingest(await ground.stream(), { ...FILE, state: 'published' })
    await ground.query(
      `insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail) values ($1, 0, 0, 'missing', 'x')`,
      [id],
    )
    expect(await alerts()).toEqual(['rejects'])
    expect((await readStatus(ground.platform.db)).openRejects).toBe(1)
    const [before] = await ground.query('select status from ingest.state')
    await ground.query('update provenance.source_ingest set withdrawn_at = now()')
    expect(await alerts()).toEqual([])
    expect((await readStatus(ground.platform.db)).openRejects).toBe(0)
    expect(before).toEqual({ status: 'partial' })
  })

  test('a backfill that ended with failed windows alerts until they are published', async () => {
    const streamId = await ground.stream()
    const [backfill] = await ground.query<{ id: string }>(
      `insert into ingest.backfill (backfill_id, selector, lo, hi, step, state, requested_by)
       values (gen_random_uuid(), '{}', '2020-01-01', '2020-02-01', '1mo', 'finished', 'ada') returning backfill_id as id`,
    )
    await ground.ingest(streamId, { lane: 'backfill', state: 'failed', backfill_id: backfill?.id })
    const open = async () => {
      await reconcileAlerts(ground.platform.db)
      return ground.query(`select subject, detail from ops.alert where closed_at is null and kind = 'failed_backfill'`)
    }
    expect(await open()).toEqual([{ subject: backfill?.id, detail: { windows: 1, requested_by: 'ada' } }])
    await ground.query(`update ingest.stream set published = '{[2020-01-01,2020-01-11)}'`)
    expect(await open()).toEqual([])
    await ground.clear()
    await ground.query('delete from ingest.backfill')
  })
})
