import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readExpectations } from '../../shared/ingest/plan/expectations.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { planLookbacks } from '../../shared/ingest/plan/plan-lookback.ts'
import { claimToCurate, claimToLand, stateOf } from '../../shared/ingest/state/claim.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { systemNow } from '../../shared/instant.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { acquireConsumer, moveConsumer, releaseConsumer } from '../../shared/metadata/feed/consumer-lease.ts'
import { feedLag, readFeed } from '../../shared/metadata/feed/feed.ts'
import { openMetadata } from '../../shared/metadata/metadata.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { leaseOutbox, postponeInOutbox } from '../../shared/metadata/outbox/outbox-claim.ts'
import { readRecord } from '../../shared/metadata/postgres/record-by-id.ts'
import { createPressureCheck } from '../../shared/metadata/service/back-pressure.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { requestOf } from '../ingest/ground.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type ExplainedDatabase, openExplainedDatabase, outline, readsAllOf, rereads } from './plans-explained.ts'
import { makePast } from './plans-past.ts'

const RUN = { initiatedBy: 'test', pipelineRunId: null }

/** They grow for as long as the platform runs, or with what it has to do. */
const LARGE = new Set([
  'provenance.source_ingest',
  'provenance.raw_page',
  'curated.partition_ingest',
  'metadata.record',
  'metadata.record_key',
  'metadata.outbox',
])

/** A statement that has to look at all rows of a table. */
const READS_ALL: Readonly<Record<string, string>> = {
  // It counts them by state: from the index of states, which a test of its own asserts.
  status_totals: 'provenance.source_ingest',
}

describe('with 300 streams and 51,000 ingests behind them', () => {
  const environment = useTestEnvironment()
  let database: ExplainedDatabase
  let opened: Platform
  let platform: Platform
  let partial: ReadonlySet<string>
  const seen = new Set<string>()

  beforeAll(async () => {
    database = openExplainedDatabase(environment.databaseUrl)
    const { db } = database
    opened = openPlatform({
      env: { DATABASE_URL: environment.databaseUrl, AzureWebJobsStorage: environment.storageConnectionString },
      sink: () => undefined,
    })
    await makePast(opened.db, { streams: 300, windows: 170, told: 60, outbox: 10_000, backfill: 2_000 })
    const { settings } = opened
    const metadata = openMetadata({
      settings: settings.metadata,
      own: db,
      lakeStorage: settings.lakeStorage,
      hook: withoutHook,
      log: opened.log,
    })
    platform = { ...opened, db, metadata }
    for (const queue of ['land', 'curate', 'metadata']) await platform.queues.ensure(queue)
    const rows = await opened.db.query<{ name: string }>({
      name: 'partial indexes',
      text: `select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid where i.indpred is not null`,
    })
    partial = new Set(rows.map(({ name }) => name))
  })
  afterAll(async () => {
    await database.db.close()
    await opened.close()
  })

  /** What was asked since the last time, and reads all of a large table without a reason. */
  const readingAll = () => {
    const names = [...database.explained.keys()].filter((name) => !seen.has(name))
    for (const name of names) seen.add(name)
    const found = names.flatMap((name) =>
      (database.explained.get(name)?.plans ?? []).flatMap((plan, index) => {
        const tables = readsAllOf(plan, partial).filter((table) => LARGE.has(table) && READS_ALL[name] !== table)
        const wrong = [...new Set([...tables, ...rereads(plan).map((cte) => `${cte}, for each row`)])]
        return wrong.length === 0 ? [] : [`${name} (plan ${index}) reads all of ${wrong.join('; ')}\n${outline(plan)}`]
      }),
    )
    return { names, found }
  }
  const due = async (columns: string, state: string) => {
    const rows = await opened.db.query<{ id: string }>({
      name: `due ${columns}`,
      text: `select ${columns} as id from provenance.source_ingest where state = '${state}' and lane = 'live' limit 3`,
    })
    return rows.map(({ id }) => id)
  }

  test('the sweep and its standing alerts read no large table as a whole', async () => {
    expect((await sweep(platform)).takenOver).toBeGreaterThan(10)
    const { names, found } = readingAll()
    expect(found.join('\n\n')).toBe('')
    expect(names).toEqual(expect.arrayContaining(['take_over_expired', 'due_hints', 'reconcile_standing_alerts']))
  })

  test('the planner and the lookback read no large table as a whole', async () => {
    const expectations = await readExpectations(platform)
    expect(expectations.heldBack).toEqual([])
    expect((await planWindows(platform.db, { ...RUN, expectations })).planned.length).toBeGreaterThan(250)
    expect((await planLookbacks(platform.db, RUN)).planned.length).toBeGreaterThan(250)
    const { names, found } = readingAll()
    expect(found.join('\n\n')).toBe('')
    expect(names).toEqual(expect.arrayContaining(['pieces_to_plan', 'widen_planned_window', 'pieces_to_look_back']))
  })

  test('a claim reads no large table as a whole', async () => {
    for (const id of await due('source_ingest_id', 'planned')) {
      expect(await claimToLand(platform.db, requestOf(platform, id))).not.toBeNull()
      await stateOf(platform.db, id)
    }
    for (const id of await due('source_ingest_id ', 'landed')) {
      expect((await claimToCurate(platform.db, requestOf(platform, id)))?.pages).toHaveLength(1)
    }
    expect(readingAll().found.join('\n\n')).toBe('')
  })

  test('the status reads no large table as a whole', async () => {
    expect((await readStatus(platform.db)).streams).toHaveLength(300)
    expect(readingAll().found.join('\n\n')).toBe('')
  })

  test('the status counts ingests by state from an index alone', async () => {
    const [plan] = database.explained.get('status_totals')?.plans ?? []
    expect(plan && outline(plan)).toContain('Index Only Scan source_ingest | source_ingest_by_state')
  })

  test('the dispatcher reads no large table as a whole', async () => {
    const { stored } = await dispatchAll(platform.metadata.dispatcher(platform.log), { batchesMax: 2 })
    expect(stored).toBe(1_000)
    const [first] = await leaseOutbox(platform.db, 10, 60)
    await postponeInOutbox(platform.db, [first?.outboxId ?? 0])
    expect(readingAll().found.join('\n\n')).toBe('')
  })

  test('the feed reads no large table as a whole', async () => {
    const { db } = platform
    let page = await readFeed(db, { tenant: null, after: null, limit: 500 })
    page = await readFeed(db, { tenant: null, after: page.position, limit: 500 })
    await readFeed(db, { tenant: 'default', kind: 'ingestion_volume', after: page.position, limit: 100 })
    const lease = await acquireConsumer(db, 'test', 60)
    if (lease !== null) await moveConsumer(db, lease, page.position, 60)
    if (lease !== null) await releaseConsumer(db, lease)
    await feedLag(db)
    await createPressureCheck({ db, outboxDb: db, clock: systemNow, log: platform.log })().catch(() => undefined)
    expect(readingAll().found.join('\n\n')).toBe('')
  })

  test('latest, history and every filter of records read no large table as a whole', async () => {
    const repository = await platform.metadata.repository()
    const target = { sourceId: 'alpaca', schema: 'bars', table: 'S7/1h' }
    const series = { target, kind: 'ingestion_volume' }
    const latest = await repository.latest(series)
    await readRecord(platform.db, 'default', latest?.record.recordId ?? '')
    await repository.latestOfMany(
      Array.from({ length: 500 }, (_, n) => ({ ...series, target: { ...target, table: `S${n}/1h` } })),
    )
    const page = await repository.history(series, { limit: 10 })
    expect(page.records).toHaveLength(10)
    await repository.history(series, { limit: 10, ...(page.next !== null && { after: page.next }) })
    const run = latest?.record.context.runId ?? ''
    const filters = [
      { kind: 'ingestion_volume' },
      { target },
      { ...series, scope: '' },
      { runId: run },
      { kind: 'ingestion_runtime', outcome: 'fail' },
      { kind: 'ingestion_volume', from: '2020-01-01T00:00:00Z', to: '2030-01-01T00:00:00Z' },
    ]
    for (const filter of filters)
      expect((await repository.query(filter, { limit: 20 })).records.length).toBeGreaterThan(0)
    expect(readingAll().found.join('\n\n')).toBe('')
  })
})
