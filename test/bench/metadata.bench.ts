import { afterAll, beforeAll, describe, test } from 'vitest'
import { withoutHook } from '../../shared/io-hook.ts'
import { createLog } from '../../shared/log/log.ts'
import { type FeedPage, type FeedPosition, readFeed } from '../../shared/metadata/feed/feed.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import { dispatchAll } from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { benchRecord, benchTarget, TARGETS } from './metadata-records.ts'
import { cpuSecondsOf, type Measure, milliseconds, report, timed, timesOf } from './results.ts'

const RECORDS = Number(process.env.TRIBUTARY_BENCH_RECORDS ?? 1_000_000)
const STORED = Math.min(50_000, RECORDS)
const DISPATCHED = Math.min(20_000, RECORDS)
const CONNECTIONS = 2
const LATEST_CALLS = 5_000
const HISTORY_TARGETS = 60
const HISTORY_PAGES = 20
const FEED_ROWS_MAX = 200_000

describe('the metadata store', () => {
  const environment = useTestEnvironment()
  const kinds = fixedKinds(KINDS)
  const ours = { tenant: 'ours' }
  const measures: Measure[] = []
  let db: Database
  beforeAll(() => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    db = openDatabase({ connection, connectionsMax: CONNECTIONS, applicationName: 'bench' }, withoutHook)
  })
  afterAll(async () => {
    await report('metadata', measures)
    await db.close()
  })

  const repository = () => openPostgresRepository({ store: { db, names: createNameBook(), kinds }, environment: ours })
  const run = (text: string, values: readonly unknown[] = []) =>
    db.query({ name: `bench ${text.slice(0, 40)}`, text }, values)
  const records = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => benchRecord(from + index))

  /** Rates on a busy machine say little: what a record costs on either side says more. */
  const measure = async (what: string, count: number, work: () => Promise<unknown>, target?: string) => {
    const sessions = `select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'`
    // Every connection of the pool is open before the clock starts.
    await Promise.all(Array.from({ length: CONNECTIONS }, () => run('select pg_sleep(0.05)')))
    const pids = (await db.query<{ pid: number }>({ name: 'bench pids', text: sessions })).map(({ pid }) => pid)
    const before = await cpuSecondsOf(pids)
    const { wallS, cpuS } = await timed(work)
    const server = (await cpuSecondsOf(pids)) - before
    const micros = (seconds: number) => ((seconds / count) * 1e6).toFixed(0)
    const possible = Math.round(count / Math.max(cpuS, server / CONNECTIONS))
    const value = `${Math.round(count / wallS)}/s; CPU of each: ${micros(cpuS)} µs here, ${micros(server)} µs in postgres (${possible}/s on free cores)`
    measures.push({ what, value, ...(target !== undefined && { target }) })
  }

  const storing = async (what: string, all: readonly NewMetadataRecord[], batch: number, target?: string) => {
    const stores = Array.from({ length: CONNECTIONS }, repository)
    const store = async (index: number) => {
      for (let at = index * batch; at < all.length; at += CONNECTIONS * batch) {
        await stores[index]?.bulkStore(all.slice(at, at + batch))
      }
    }
    await measure(what, all.length, () => Promise.all(stores.map((_, index) => store(index))), target)
  }

  test('stores records', async () => {
    const size = Buffer.byteLength(JSON.stringify(benchRecord(1)))
    measures.push({ what: 'size of a record', value: `${size} bytes of JSON` })
    // Plans, types and the JIT.
    await repository().bulkStore(records(RECORDS * 2, 2_000))
    const fresh = records(0, STORED)
    await storing('fresh, 500 in a batch, two connections', fresh, 500, '>= 5,000')
    await storing('replayed', fresh, 500)
    await storing('fresh, 16 in a batch', records(STORED, 5_000), 16)
    await storing('fresh, one by one', records(STORED + 5_000, 1_000), 1)
  })

  test('dispatches the outbox', async () => {
    const log = createLog({ sink: () => undefined, level: 'error', secrets: [] })
    const texts = records(STORED + 10_000, DISPATCHED).map((record) => JSON.stringify(record))
    for (let at = 0; at < texts.length; at += 1_000) {
      await run('insert into metadata.outbox (record) select r from unnest($1::text[]) as r', [
        texts.slice(at, at + 1_000),
      ])
    }
    await run('analyze metadata.outbox')
    const source = { db, kinds, environment: ours, log }
    const dispatchers = Array.from({ length: CONNECTIONS }, () => dispatchHere(source, createNameBook()))
    const work = () => Promise.all(dispatchers.map((dispatch) => dispatchAll(dispatch)))
    await measure('dispatched, 500 in a transaction, two dispatchers', DISPATCHED, work)
  })

  test(`fills the tables up to ${RECORDS} records`, async () => {
    await fill(db, RECORDS)
    const [row] = await db.query<{ n: number; size: string }>({
      name: 'bench size',
      text: `select count(*) as n, pg_size_pretty(pg_total_relation_size('metadata.record')) as size from metadata.record`,
    })
    measures.push({ what: 'records, cloned in SQL from those stored', value: `${row?.n} in ${row?.size} with indexes` })
  })

  test('gives the latest record and the history of a series', async () => {
    const store = repository()
    const series = (number: number) => ({ target: benchTarget(number % TARGETS), kind: 'ingestion_volume' })
    const numbers = (count: number) => Array.from({ length: count }, (_, index) => (index * 7_919) % TARGETS)
    await timesOf(numbers(TARGETS), (number) => store.latest(series(number)))
    const latest = await timesOf(numbers(LATEST_CALLS), (number) => store.latest(series(number)))
    measures.push({ what: 'latest of a series', value: milliseconds(latest), target: 'p99 <= 5 ms' })
    const newest: number[] = []
    const deep: number[] = []
    for (const number of numbers(HISTORY_TARGETS)) {
      let after: string | undefined
      for (let page = 0; page < HISTORY_PAGES; page++) {
        const [ms] = await timesOf([after], async () => {
          const { next } = await store.history(series(number), { limit: 100, ...(after !== undefined && { after }) })
          after = next ?? undefined
        })
        if (page === 0) newest.push(ms ?? Number.NaN)
        else deep.push(ms ?? Number.NaN)
        if (after === undefined) break
      }
    }
    measures.push({ what: 'history, newest 100', value: milliseconds(newest), target: 'p99 <= 10 ms' })
    measures.push({ what: 'history, 100 further back', value: milliseconds(deep), target: 'p99 <= 10 ms' })
  })

  test('gives the feed', async () => {
    const rows = Math.min(FEED_ROWS_MAX, RECORDS)
    const work = async () => {
      let after: FeedPosition | null = null
      for (let read = 0; read < rows; ) {
        const page: FeedPage = await readFeed(db, { tenant: null, after, limit: 1_000 })
        read += page.records.length
        after = page.position
      }
    }
    await measure('rows of the feed, 1,000 in a page', rows, work, '>= 20,000')
  })
})

const CLONES = 10_000

/** Faster than any client: clones of what the product has stored, with keys, times and runs of their own. */
async function fill(db: Database, records: number): Promise<void> {
  const run = (text: string) => db.query({ name: `bench ${text}`.slice(0, 60), text })
  const [row] = await db.query<{ n: number }>({
    name: 'bench count',
    text: 'select count(*) as n from metadata.record',
  })
  const missing = records - (row?.n ?? 0)
  for (let made = 0, round = 1; made < missing; made += CLONES, round++) {
    await db.query(CLONE, [Math.min(CLONES, missing - made), round])
  }
  for (const name of ['record', 'record_key', 'latest']) await run(`vacuum analyze metadata.${name}`)
}

// Further and further back, by as many days as what is cloned spans: no two records of a series are of one time.
const CLONE = {
  name: 'bench clone',
  text: `
with source as (select * from metadata.record order by seq limit $1::int),
clones as (
  insert into metadata.record (record_id, tenant_no, target_no, kind, scope, effective_at, ordered_at, revision,
         kind_version, producer_id, job_id, run_id, window_start, window_end, outcome, quality, produced_at, facets, body)
  select gen_random_uuid(), tenant_no, target_no, kind, scope, effective_at - back, ordered_at - back, revision,
         kind_version, producer_id, job_id, run_id || '-' || $2::text, window_start - back, window_end - back, outcome,
         quality, produced_at, facets, body
    from source, lateral (select make_interval(days => $2::int * ${Math.ceil(CLONES / TARGETS)}) as back) b
  returning record_id, tenant_no, revision, ordered_at
)
insert into metadata.record_key (tenant_no, key, revision, content, record_id, ordered_at)
select tenant_no, gen_random_uuid(), revision, gen_random_uuid(), record_id, ordered_at from clones`,
}
