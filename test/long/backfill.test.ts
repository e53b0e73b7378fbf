import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import { MICROS_PER_SECOND } from '../../shared/instant.ts'
import type { Platform } from '../../shared/platform.ts'
import { type History, keepBudgetFull, minutes, openHistory } from '../ingest/history.ts'
import { type CommandProcess, startCommand } from '../support/command-process.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState } from '../support/lake-state.ts'

const SEED = process.env.TRIBUTARY_TEST_SEED ?? 'long-backfill'
const RSS_BYTES_MAX = 512 * 1024 * 1024
/** Trading days of 2010 to 2019. */
const SESSIONS = 2_516
const MINUTES = SESSIONS * 390

const symbolOf = (index: number) => `S${index}`
const streamsOf = (symbols: number) =>
  Array.from({ length: symbols }, (_, index) => minutes(symbolOf(index), '2010-01-01', '2020-01-01'))

describe('ten years of one-minute bars', () => {
  const environment = useTestEnvironment()

  const open = async (symbols: number) => {
    // Made again from raw in every other test; here the content is compared with what the provider has.
    const history = await openHistory(environment, streamsOf(symbols), { verify: false })
    const refilled = keepBudgetFull(history.bench)
    onTestFinished(async () => {
      await refilled()
      await history.bench.close()
    })
    return history
  }
  const start = ({ services, bench }: History, id: string) =>
    startCommand('cli', ['--json', 'backfill', 'run', id], {
      DATABASE_URL: services.databaseUrl,
      AzureWebJobsStorage: services.storageConnectionString,
      ALPACA_BASE_URL: bench.simulator.url,
      ALPACA_KEY_ID: 'test-key-id',
      ALPACA_SECRET_KEY: 'test-secret-key',
      TRIBUTARY_LEASE_SECONDS: '5',
    })
  /** The last JSON line of a worker. */
  const ending = async (worker: CommandProcess) => {
    const { code } = await worker.ended
    const last = worker.err().trim().split('\n').at(-1) ?? ''
    expect(code, `seed ${SEED}\n${worker.err()}`).toBe(0)
    return JSON.parse(last) as { readonly event: string; readonly rows: number; readonly maxRssBytes: number }
  }
  const tell = (line: string) => process.stdout.write(`backfill: ${line}\n`)
  const perSecond = (rows: number, sinceMs: number) =>
    `${Math.round(rows / ((performance.now() - sinceMs) / 1000)).toLocaleString('en-US')} rows/s`
  const MiB = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`

  test('of six symbols, 5,887,440 rows, go through two workers, one killed at seeded moments: nothing is lost, nothing doubled, and no process needs more than 512 MiB', async () => {
    const random = seededRandom(SEED)
    const history = await open(6)
    const id = await history.plan()
    const startedMs = performance.now()
    const survivor = start(history, id)
    const done = survivor.ended.then(() => true)
    const peaks: number[] = []
    let kills = 0
    for (;;) {
      const victim = start(history, id)
      const moment = 5_000 + random() * 15_000
      const ended = await Promise.race([done, victim.ended.then(() => true), sleep(moment).then(() => false)])
      if (ended || kills === 5) {
        peaks.push((await ending(victim)).maxRssBytes)
        break
      }
      victim.child.kill('SIGKILL')
      await victim.ended
      kills++
    }
    peaks.push((await ending(survivor)).maxRssBytes)
    const rows = 6 * MINUTES
    tell(
      `${rows} rows, two workers, ${kills} kills: ${perSecond(rows, startedMs)}, peak ${peaks.map(MiB).join(' and ')}`,
    )
    expect(kills).toBeGreaterThanOrEqual(1)
    expect(Math.max(...peaks)).toBeLessThanOrEqual(RSS_BYTES_MAX)
    for (let index = 0; index < 6; index++) {
      const symbol = symbolOf(index)
      expect(await digestOfLake(history.bench.platform, symbol), symbol).toEqual(digestOfProvider(symbol))
    }
    const state = await lakeState(history.bench.platform)
    expect(state).toMatchObject({ records: rows, outcomes: rows, unfinished: 0, rejects: [] })
    expect(new Set(state.published)).toEqual(new Set(['{["2010-01-01 00:00:00+00","2020-01-01 00:00:00+00")}']))
    expect(Object.values(state.partitions).reduce((sum, partition) => sum + partition.rows, 0)).toBe(rows)
  }, 1_800_000)

  test('of one symbol go through one worker and through two: both end with the same content, and the rates are printed', async () => {
    const states: unknown[] = []
    for (const workers of [1, 2]) {
      const history = await open(1)
      const id = await history.plan()
      const startedMs = performance.now()
      const ended = await Promise.all(Array.from({ length: workers }, async () => ending(start(history, id))))
      tell(
        `${MINUTES} rows, ${workers === 1 ? 'one worker' : 'two workers'}: ${perSecond(MINUTES, startedMs)}, peak ${ended.map(({ maxRssBytes }) => MiB(maxRssBytes)).join(' and ')}`,
      )
      for (const { maxRssBytes } of ended) expect(maxRssBytes).toBeLessThanOrEqual(RSS_BYTES_MAX)
      states.push(await lakeState(history.bench.platform))
    }
    expect(states[1]).toEqual(states[0])
  }, 900_000)
})

/** Every row of a symbol in the order of its files and of time; equal to the provider's, none is missing, double or changed. */
async function digestOfLake({ curated }: Platform, symbol: string) {
  const hash = createHash('sha256')
  let rows = 0
  const paths: string[] = []
  for await (const { path } of curated.list(`dataset=bars/timeframe=1m/symbol=${symbol}/`)) paths.push(path)
  for (const path of paths.sort()) {
    const blob = await curated.get(path)
    const batch = decodePartition({ dataset: bars, bytes: blob?.body ?? new Uint8Array() }).rows
    const columns = ['ts', 'open', 'high', 'low', 'close', 'volume', 'trade_count', 'vwap'].map((name) =>
      columnOf(batch, name),
    )
    for (let row = 0; row < batch.rowCount; row++) hash.update(`${columns.map((column) => column[row])}\n`)
    rows += batch.rowCount
  }
  return { rows, sha256: hash.digest('hex') }
}

function digestOfProvider(symbol: string) {
  const hash = createHash('sha256')
  let rows = 0
  const [fromS, toS] = [Date.UTC(2010, 0, 1) / 1000, Date.UTC(2020, 0, 1) / 1000 - 1]
  for (const bar of loadSp500(symbol).bars('1m', fromS, toS)) {
    const { atS, open, high, low, close, volume, tradeCount, vwap } = bar
    hash.update(`${[BigInt(atS) * MICROS_PER_SECOND, open, high, low, close, volume, tradeCount, vwap]}\n`)
    rows++
  }
  return { rows, sha256: hash.digest('hex') }
}
