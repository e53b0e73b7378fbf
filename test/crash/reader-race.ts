import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DuckDBConnection } from '@duckdb/node-api'
import { describe, expect, test } from 'vitest'
import { decodePartition } from '../../shared/curated/parquet-reader.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { columnOf } from '../../shared/datasets/row-batch.ts'
import type { Platform } from '../../shared/platform.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type Lake, openLake, type Shape } from './random-schedules-lake.ts'
import { lookBack, receiveAll, settle, work } from './random-schedules-settle.ts'

/** Four files: two streams, of which each has two windows in the first year and one in both. */
const SHAPE: Shape = { streams: 2, windows: 3, barsPerPage: 20, rejects: false, corrections: true }
const FILES = 4
const WORKERS = 2
/** Another engine reads every so many times what was read. */
const DUCKDB_EVERY = 20

/** A reader that has nothing but a glob, while at least `publishes` ingests rewrite what it reads. */
export function describeReaderRace(publishes: number): void {
  describe('a reader of curated/**/*.parquet beside two workers', () => {
    const environment = useTestEnvironment()

    test(`sees no duplicate key, no failed read and no missing partition during ${publishes} publishes`, async () => {
      const lake = await openLake(SHAPE, environment)
      const workers = Array.from({ length: WORKERS }, (_, index) => lake.openWorker(`w${index}`))
      try {
        await settle(lake)
        const first = await readAll(lake.platform)
        expect(first.files).toHaveLength(FILES)
        const race = { over: false }
        const reading = readUntil(lake, race, first.rows)
        const published = await rewrite(lake, workers, publishes).finally(() => {
          race.over = true
        })
        const { reads, duckdbReads, problems } = await reading
        process.stdout.write(
          `reader race: ${reads} reads of ${FILES} files, ${duckdbReads} of them by duckdb, ${published} publishes\n`,
        )
        expect(problems).toEqual([])
        expect(reads).toBeGreaterThan(10)
        expect(published).toBeGreaterThanOrEqual(publishes)
      } finally {
        for (const worker of workers) await worker.close()
        await lake.close()
      }
    }, 1_200_000)
  })
}

/** Reads every window again and again, each time corrected, two workers at once; returns how many were published. */
async function rewrite(lake: Lake, workers: readonly Platform[], publishes: number): Promise<number> {
  let published = 0
  for (let correction = 1; published < publishes; correction++) {
    lake.correct(correction)
    await lookBack(lake, lake.platform)
    for (
      let messages = await receiveAll(lake.platform);
      messages.length > 0;
      messages = await receiveAll(lake.platform)
    ) {
      const rest = [...messages]
      const drain = async (worker: Platform) => {
        for (let message = rest.shift(); message !== undefined; message = rest.shift()) {
          if ((await work(worker, message)) === 'published') published++
        }
      }
      await Promise.all(workers.map(drain))
    }
  }
  return published
}

async function readUntil({ platform }: Lake, race: { readonly over: boolean }, rows: number) {
  const problems: string[] = []
  const folder = await mkdtemp(join(tmpdir(), 'tributary-reader-'))
  const duckdb = await DuckDBConnection.create()
  let [reads, duckdbReads] = [0, 0]
  for (; !race.over; reads++) {
    const { files, ...seen } = await readAll(platform)
    problems.push(...seen.problems)
    if (files.length !== FILES) problems.push(`read ${reads}: expected ${FILES} files, got ${files.length}`)
    if (seen.rows !== rows) problems.push(`read ${reads}: expected ${rows} rows, got ${seen.rows}`)
    if (reads % DUCKDB_EVERY !== 0) continue
    for (const { path, body } of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), body)
    }
    const result = await duckdb.runAndReadAll(
      `select count(*)::int as rows, count(distinct (symbol, ts))::int as keys from read_parquet('${folder}/**/*.parquet')`,
    )
    const [found] = result.getRowObjects()
    if (found?.rows !== rows || found.keys !== rows) {
      problems.push(`read ${reads}: duckdb expected ${rows} rows and keys, got ${found?.rows} and ${found?.keys}`)
    }
    duckdbReads++
  }
  duckdb.closeSync()
  await rm(folder, { recursive: true })
  return { reads, duckdbReads, problems }
}

/** One glob: what is listed is then read, one file after the other. */
async function readAll({ curated }: Platform) {
  const files: { readonly path: string; readonly body: Uint8Array }[] = []
  const problems: string[] = []
  const keys = new Set<string>()
  let rows = 0
  for await (const { path } of curated.list('')) {
    const blob = await curated.get(path)
    if (blob === null) {
      problems.push(`${path}: expected the file that was listed, it is gone`)
      continue
    }
    files.push({ path, body: blob.body })
    try {
      const batch = decodePartition({ dataset: bars, bytes: blob.body }).rows
      const columns = bars.key.map((name) => columnOf(batch, name))
      for (let row = 0; row < batch.rowCount; row++) keys.add(columns.map((column) => String(column[row])).join(' '))
      rows += batch.rowCount
    } catch (error) {
      problems.push(`${path}: ${error instanceof Error ? error.message : error}`)
    }
  }
  if (keys.size !== rows) problems.push(`expected ${rows} keys, got ${keys.size}`)
  return { files, rows, problems }
}
