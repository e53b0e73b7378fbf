import { setTimeout as sleep } from 'node:timers/promises'
import { type BlobContainer, openContainer } from '../../shared/azure/blobs.ts'
import { openTable, type Table } from '../../shared/azure/tables.ts'
import { LATEST_TABLE } from '../../shared/config/storage-names.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { type ConsumerOptions, type FeedConsumer, runConsumers } from '../../shared/metadata/feed/consumer.ts'
import { type FeedPage, type FeedPosition, type FeedRequest, readFeed } from '../../shared/metadata/feed/feed.ts'
import type { Database } from '../../shared/postgres/database.ts'
import { type TestEnvironment, useTestEnvironment } from '../support/environment.ts'
import { type DispatchBench, useDispatch } from './dispatch-bench.ts'

export type FeedBench = {
  readonly bench: DispatchBench
  readonly db: () => Database
  readonly query: DispatchBench['query']
  /** Until what is committed can be read: a transaction of any other test of this server holds the feed back. */
  readonly settle: () => Promise<void>
  /** Writes, dispatches and settles. */
  readonly store: (records: readonly unknown[], tenant?: string | null) => Promise<void>
  readonly read: (request?: Partial<FeedRequest>) => Promise<FeedPage>
  /** Runs of all records behind `after`, `pageMax` at a time. */
  readonly readAll: (after?: FeedPosition | null, pageMax?: number) => Promise<readonly string[]>
  /** How the run ended: its state, or the message of its error. */
  readonly run: (consumer: FeedConsumer, options?: Partial<ConsumerOptions>) => Promise<string>
  /** As if all leases had run out. */
  readonly expireLeases: () => Promise<unknown>
  readonly clear: () => Promise<void>
  readonly container: (hook?: IoHook) => BlobContainer
  readonly table: (hook?: IoHook) => Table
}

const PAGES_MAX = 1_000
const POLL_MS = 5

/** Call it at the top of a test file's describe. */
export function useFeed(): FeedBench {
  const environment = useTestEnvironment()
  const bench = useDispatch()
  const { query } = bench
  const settle = async () => {
    const [own] = await query<{ xid: string }>('select pg_current_xact_id()::text as xid')
    const horizonIsBehind = 'select pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 as behind'
    while (!(await query<{ behind: boolean }>(horizonIsBehind, [own?.xid]))[0]?.behind) await sleep(POLL_MS)
  }
  const read = (request: Partial<FeedRequest> = {}) =>
    readFeed(bench.source.db, { tenant: null, after: null, limit: 100, ...request })
  return {
    bench,
    db: () => bench.source.db,
    query,
    settle,
    async store(records, tenant) {
      await bench.write(records, tenant)
      await bench.dispatch()
      await settle()
    },
    read,
    async readAll(after = null, pageMax = 100) {
      const runs: string[] = []
      let position = after
      for (let page = 0; page < PAGES_MAX; page++) {
        const { records, position: next, end } = await read({ after: position, limit: pageMax })
        runs.push(...records.map(({ record }) => record.context.runId ?? ''))
        position = next
        if (end) return runs
      }
      throw new Error(`feed: expected an end after ${PAGES_MAX} pages`)
    },
    async run(consumer, options = {}) {
      const [run] = await runConsumers(bench.source.db, [consumer], { log: bench.source.log, ...options })
      return run?.error?.message ?? run?.state ?? 'not run'
    },
    expireLeases: () => query('update metadata.consumer set lease_expires_at = now()'),
    async clear() {
      await bench.clear()
      await query(`with a as (delete from metadata.consumer), b as (delete from metadata.compaction),
                        c as (delete from ops.alert), d as (delete from ops.audit) select`)
    },
    container: (hook = withoutHook) => openTestContainer(environment, hook),
    table: (hook = withoutHook) => openTestTable(environment, hook),
  }
}

function openTestContainer({ storageConnectionString: connectionString }: TestEnvironment, hook: IoHook) {
  return openContainer({ account: { kind: 'connection-string', connectionString }, container: 'metadata', hook })
}

function openTestTable({ storageConnectionString: connectionString }: TestEnvironment, hook: IoHook) {
  return openTable({ account: { kind: 'connection-string', connectionString }, table: LATEST_TABLE, hook })
}
