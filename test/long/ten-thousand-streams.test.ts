import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { claimToLand } from '../../shared/ingest/state/claim.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { withoutHook } from '../../shared/io-hook.ts'
import { reconcileAlerts } from '../../shared/ops/standing-alerts.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { openPlatform, type Platform } from '../../shared/platform.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { requestOf } from '../ingest/ground.ts'
import { makePast, type Past, streamFileOf } from '../postgres/plans-past.ts'
import { useTestEnvironment } from '../support/environment.ts'

const WINDOWS = Number(process.env.TRIBUTARY_TEST_WINDOWS ?? 50)
const PAST: Past = { streams: 10_000, windows: WINDOWS, told: 1, outbox: 1_000, backfill: 20_000 }
/** Of what a tick adds to the process: no row of the past comes to it. */
const TICK_BYTES_MAX = 512 * 1024 * 1024
const WORKERS = 20
const CLAIMED = 2_000

describe(`ten thousand streams with ${WINDOWS} windows behind each`, () => {
  const environment = useTestEnvironment()
  const streamsFile = join(tmpdir(), `ten-thousand-streams-${process.pid}.json`)
  let platform: Platform
  let queued: string[] = []

  beforeAll(async () => {
    await writeFile(streamsFile, streamFileOf(PAST))
    // Two million rows in one statement take longer than any statement of the platform may.
    const db = open(`${environment.databaseUrl}?statement_timeout=0`)
    await measured('made the past', () => makePast(db, PAST))
    await db.close()
    const opened = openPlatform({
      env: {
        DATABASE_URL: environment.databaseUrl,
        AzureWebJobsStorage: environment.storageConnectionString,
        TRIBUTARY_STREAMS: streamsFile,
      },
      sink: (_level, line) => {
        if (line.event === 'planned_without_metadata')
          process.stdout.write(`ten thousand streams: ${JSON.stringify(line)}\n`)
      },
    })
    // The queue's time is its own: what was sent is kept here.
    const send = async (_queue: string, body: string) => {
      queued.push(body)
    }
    platform = { ...opened, queues: { ...opened.queues, send } }
  }, 3_600_000)
  afterAll(async () => {
    await platform.close()
    await rm(streamsFile, { force: true })
  })

  const open = (url: string): Database =>
    openDatabase({ connection: { kind: 'url', url }, connectionsMax: 2, applicationName: 'ten thousand' }, withoutHook)
  const measured = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const startedMs = performance.now()
    const result = await work()
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    const rss = Math.round(process.memoryUsage.rss() / 1024 / 1024)
    process.stdout.write(`ten thousand streams: ${what} in ${seconds} s, ${rss} MiB\n`)
    return result
  }
  const count = async (condition: string) => {
    const text = `select count(*) as count from provenance.source_ingest where ${condition}`
    return (await platform.db.query<{ count: number }>({ name: `count ${condition}`.slice(0, 60), text }))[0]?.count
  }

  test('one tick plans what is due of all of them, each hour once, in bounded memory', async () => {
    const before = process.memoryUsage.rss()
    let peak = before
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss())
    }, 20)
    const { streams, planned, widened } = await measured('planned a tick', () => planTick(platform))
    clearInterval(watch)
    process.stdout.write(`ten thousand streams: the tick added ${Math.round((peak - before) / 1024 / 1024)} MiB\n`)
    expect(streams).toBe(PAST.streams)
    // A stream in twenty has a planned window that grows instead.
    expect(widened).toBe(PAST.streams / 20)
    expect(planned).toHaveLength(PAST.streams - widened)
    expect(queued).toHaveLength(planned.length)
    expect(peak - before).toBeLessThan(TICK_BYTES_MAX)
    queued = []
    expect((await measured('planned the next tick', () => planTick(platform))).planned).toEqual([])
  })

  test(`${WORKERS} workers claim ${CLAIMED} windows, none twice`, async () => {
    const rows = await platform.db.query<{ id: string }>({
      name: 'windows to claim',
      text: `select source_ingest_id as id from provenance.source_ingest
              where state = 'planned' and lane = 'live' order by planned_at desc, source_ingest_id limit ${CLAIMED}`,
    })
    const workers = Array.from({ length: WORKERS / 2 }, () => open(environment.databaseUrl))
    const claimed: string[] = []
    const claimAll = async (db: Database, worker: number) => {
      // Everyone tries every window, each from another end.
      const from = Math.floor((worker * rows.length) / WORKERS)
      for (const { id } of [...rows.slice(from), ...rows.slice(0, from)]) {
        const claim = await claimToLand(db, { ...requestOf(platform, id), worker: `worker ${worker}` })
        if (claim !== null) claimed.push(claim.sourceIngestId)
      }
    }
    await measured(`${WORKERS * CLAIMED} claims tried`, () =>
      Promise.all(workers.flatMap((db, index) => [claimAll(db, index * 2), claimAll(db, index * 2 + 1)])),
    )
    for (const db of workers) await db.close()
    expect(claimed.toSorted()).toEqual(rows.map(({ id }) => id).toSorted())
    expect(await count(`claimed_by like 'worker %'`)).toBe(CLAIMED)
    expect(await count(`claimed_by like 'worker %' and (epoch <> 1 or attempts <> 1)`)).toBe(0)
  })

  test('the sweep, its alerts and the status see all of them', async () => {
    await measured('swept', () => sweep(platform))
    await measured('reconciled the standing alerts', () => reconcileAlerts(platform.db))
    const status = await measured('read the status', () => readStatus(platform.db))
    expect(status.streams).toHaveLength(PAST.streams)
    const failed = PAST.streams / 10
    expect(status.ingests.failed).toBe(failed)
    expect(status.alerts.filter(({ kind }) => kind === 'failed_ingest')).toHaveLength(failed)
  })
})
