import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { createQueues } from '../../shared/azure/queues.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import { queueBus } from '../../shared/metadata/outbox/bus.ts'
import { useGround } from '../ingest/ground.ts'
import { volume } from './fact.ts'

const stop = new AbortController().signal

describe('moving metadata', () => {
  const ground = useGround()
  beforeAll(async () => {
    const account = ground.platform.settings.lakeStorage
    await openContainer({ account, container: 'metadata', hook: withoutHook }).ensure()
    await openTable({ account, table: LATEST_TABLE }).ensure()
    await ground.platform.queues.ensure('metadata')
  })
  beforeEach(() => ground.clear())
  const tell = (record: unknown, age = '0 s') =>
    ground.query(
      'insert into metadata.outbox (record, due_at, created_at) values ($1, now() - $2::interval, now() - $2::interval)',
      [JSON.stringify(record), age],
    )
  const alerts = () => ground.query(`select kind, detail from ops.alert where closed_at is null`)

  test('brings what was told to the repository, the log, the table and the rollups', async () => {
    const { platform } = ground
    // Rollups are kept for 25 months.
    const day = new Date(Date.now() - 3 * 86_400_000).toISOString().slice(0, 10)
    await tell(volume(3, { window: { start: `${day}T00:00:00Z`, end: `${day}T12:00:00Z` } }))
    expect(await moveMetadata(platform, stop)).toMatchObject({ stored: 1 })
    const series = { target: volume(3).target, kind: 'ingestion_volume' }
    const repository = await platform.metadata.repository()
    expect((await repository.latest(series))?.record.payload).toMatchObject({ records: 10 })
    const consumers = await ground.query<{ consumer: string; moved: boolean }>(
      `select consumer, (xid, seq) > ('0'::xid8, 0) as moved from metadata.consumer order by consumer`,
    )
    expect(consumers).toEqual(
      ['latest_table', 'log', 'rollup', 'signals'].map((consumer) => ({ consumer, moved: true })),
    )
    const { cells } = await repository.aggregate({
      kind: 'ingestion_volume',
      grain: 'day',
      from: day,
      to: new Date().toISOString().slice(0, 10),
      metric: 'records',
    })
    expect(cells).toMatchObject([{ bucket: day, count: 1, total: 10 }])
  })

  test('says so where a store is told of and does not get on, and is silent again when it does', async () => {
    const { platform } = ground
    // Waits for its first revision, and is due all the time.
    await tell({ ...volume(9), revision: 1 }, '10 minutes')
    const away = {
      ...platform,
      metadata: { ...platform.metadata, dispatcher: () => () => Promise.reject(new Error('away')) },
    }
    await expect(moveMetadata(away, stop)).rejects.toThrow('away')
    expect(await alerts()).toMatchObject([{ kind: 'metadata_lag', detail: { seconds: { outbox: 600 } } }])
    await tell(volume(9))
    await moveMetadata(platform, stop)
    expect(await alerts()).toEqual([])
  })

  test('is asked for by a hint without data, once a second at most from one process', async () => {
    const { settings, log } = ground.platform
    const queues = createQueues({ account: settings.hostStorage, hook: withoutHook })
    const bus = queueBus({ queues, log })
    for (let ends = 0; ends < 5; ends++) await bus.announce()
    const messages = await queues.receive('metadata', { countMax: 32, visibilitySeconds: 1 })
    expect(messages.map(({ body }) => body)).toEqual(['{"v":1}'])
  })
})
