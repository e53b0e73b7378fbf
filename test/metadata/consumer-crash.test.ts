import { describe, expect, test } from 'vitest'
import { openContainer } from '../../shared/azure/blobs.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { latestTableConsumer } from '../../shared/metadata/consumers/latest-table.ts'
import { logConsumer } from '../../shared/metadata/consumers/log.ts'
import { readLog } from '../../shared/metadata/consumers/read-log.ts'
import { signalsConsumer } from '../../shared/metadata/consumers/signals.ts'
import { type FeedConsumer, runConsumers } from '../../shared/metadata/feed/consumer.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { createFaultyIo, FAULTS, type FaultKind } from '../support/faulty-io.ts'
import { TARGET, volume } from './fact.ts'
import { useFeed } from './feed-bench.ts'

const { window: _, ...blocked } = volume(9)
/** Three pages of two: two series, one of them twice in a page, and one that opens an alert. */
const WRITTEN = [
  volume(0),
  volume(1),
  volume(0, { target: { ...TARGET, table: 'other' } }),
  volume(2),
  { ...blocked, kind: 'guard_decision', outcome: 'block', payload: { guard: 'ingestion', reasons: [] } },
]

describe('a crash anywhere in what follows the feed', () => {
  const feed = useFeed()
  const environment = useTestEnvironment()

  /** The consumers of one process, on a storage account of its own. */
  function consumers(connectionString: string, hook: IoHook) {
    const account = { kind: 'connection-string', connectionString } as const
    const source = feed.bench.open(hook)
    const container = openContainer({ account, container: 'metadata', hook })
    const table = openTable({ account, table: LATEST_TABLE, hook })
    const all: readonly FeedConsumer[] = [
      logConsumer({ container }),
      latestTableConsumer({ table }),
      signalsConsumer({ log: source.log, alerts: source.db }),
    ]
    const run = () => runConsumers(source.db, all, { log: source.log, batchMax: 2 })
    return { run, container, table, close: source.close }
  }

  test('leaves every record in the log once, the table and the alerts as they were without it', async () => {
    const run = async (fault?: { readonly kind: FaultKind; readonly at: number }) => {
      await feed.query('delete from metadata.consumer')
      await feed.query('delete from ops.alert')
      const storage = environment.newStorageAccount()
      const io = createFaultyIo()
      const first = consumers(storage, io.hook)
      await first.container.ensure()
      await first.table.ensure()
      io.arm(fault)
      const runs = await first.run()
      await first.close()
      // A new process, after the leases of the first have run out.
      await feed.expireLeases()
      const second = consumers(storage, withoutHook)
      const again = await second.run()
      const since = BigInt(Date.now() - 7_200_000) * 1_000n
      const logged: string[] = []
      let repeated = 0
      for await (const { record } of readLog({ container: second.container, from: since })) logged.push(record.recordId)
      for await (const { path } of second.container.list('log/')) {
        const lines = Buffer.from((await second.container.get(path))?.body ?? [])
          .toString()
          .trim()
          .split('\n')
        repeated += lines.length - new Set(lines).size
      }
      const rows = await feed.query<{ partition: string }>(
        `select distinct concat_ws('|', n.tenant, t.source_id, t.schema_name, replace(t.table_name, '/', '~2F')) as partition
           from metadata.target t join metadata.tenant n using (tenant_no) order by 1`,
      )
      const table = []
      for (const { partition } of rows) {
        for (const { rowKey, values } of await second.table.rows(partition, 10)) {
          table.push([partition, rowKey, values.recordId, values.changeNo])
        }
      }
      const alerts = await feed.query('select kind, subject, closed_at from ops.alert order by 1, 2')
      await second.close()
      const ended = again.map(({ state }) => state)
      return { state: { logged, repeated, table, alerts, ended }, runs, operations: io.operations }
    }

    await feed.clear()
    await feed.store(WRITTEN)
    const clean = await run()
    expect(clean.runs).toMatchObject(Array(3).fill({ state: 'done', pages: 3, records: WRITTEN.length }))
    expect([clean.state.logged.length, clean.state.repeated, clean.state.table.length]).toEqual([5, 0, 3])
    expect(clean.state.alerts).toHaveLength(1)
    expect(clean.operations.length).toBeGreaterThan(40)
    const differences: string[] = []
    for (const [at, operation] of clean.operations.entries()) {
      // All three kinds for each of them would only repeat what its neighbours have shown.
      const one = FAULTS[at % FAULTS.length] ?? 'before'
      for (const kind of operation.action === 'append' ? FAULTS : [one]) {
        const crashed = await run({ kind, at })
        const [seen, expected] = [crashed.state, clean.state].map((state) => JSON.stringify(state, printed))
        if (seen !== expected) differences.push(`${kind} ${at} ${operation.action} ${operation.subject}: ${seen}`)
      }
    }
    expect(differences).toEqual([])
  }, 300_000)
})

function printed(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
