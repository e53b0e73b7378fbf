import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { type History, hours, keepBudgetFull, openHistory } from '../ingest/history.ts'
import { startCommand } from '../support/command-process.ts'
import { useTestEnvironment } from '../support/environment.ts'
import { type LakeState, lakeState, readLake } from '../support/lake-state.ts'
import type { WorkbenchOptions } from '../support/workbench.ts'

const SEED = process.env.TRIBUTARY_TEST_SEED ?? 'backfill-process'
const STREAMS = [hours('SPX', '2010-01-01', '2011-01-01'), hours('TSLA', '2010-01-01', '2011-01-01')]
const ROWS = 2 * 252 * 7

describe('a backfill in processes of its own', () => {
  const environment = useTestEnvironment()
  let undisturbed: LakeState
  beforeAll(async () => {
    const history = await openHistory(environment, STREAMS)
    const refilled = keepBudgetFull(history.bench)
    await history.cli(['backfill', 'run', await history.plan()])
    undisturbed = await lakeState(history.bench.platform)
    await refilled()
    await history.bench.close()
  })

  const open = async (more?: Partial<WorkbenchOptions>) => {
    const history = await openHistory(environment, STREAMS, more)
    const refilled = keepBudgetFull(history.bench)
    onTestFinished(async () => {
      await refilled()
      await history.bench.close()
    })
    return history
  }
  const settings = ({ services, bench }: History) => ({
    DATABASE_URL: services.databaseUrl,
    AzureWebJobsStorage: services.storageConnectionString,
    ALPACA_BASE_URL: bench.simulator.url,
    ALPACA_KEY_ID: 'test-key-id',
    ALPACA_SECRET_KEY: 'test-secret-key',
    TRIBUTARY_LEASE_SECONDS: '3',
  })
  const start = (history: History, id: string, ...more: string[]) =>
    startCommand('cli', ['--json', 'backfill', 'run', id, ...more], settings(history))
  const asked = async ({ bench }: History, count: number) => {
    while (bench.simulator.requests.length < count) await sleep(10)
  }
  /** JSON lines of standard error. */
  const lines = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  test('told to stop by SIGTERM ends with 143, holds nothing, and the next start ends as if there had been no stop', async () => {
    const history = await open({ simulator: { faults: () => ({ kind: 'latency', ms: 150 }) } })
    const id = await history.plan()
    const worker = start(history, id)
    await asked(history, 5)
    worker.child.kill('SIGTERM')
    expect(await worker.ended).toEqual({ code: 143, signal: null })
    expect(JSON.parse(worker.out())).toMatchObject({ end: 'stopped', state: 'active' })
    expect(
      await history.bench.query(
        `select state from provenance.source_ingest where claimed_by is not null or state in ('landing', 'curating')`,
      ),
    ).toEqual([])
    const next = start(history, id)
    expect((await next.ended).code, next.err()).toBe(0)
    expect(await lakeState(history.bench.platform)).toEqual(undisturbed)
  })

  test('one of two workers killed again and again: nothing is lost and nothing doubled', async () => {
    const random = seededRandom(SEED)
    const history = await open({ simulator: { faults: () => ({ kind: 'latency', ms: 50 }) } })
    const id = await history.plan()
    const survivor = start(history, id, '--concurrency', '1')
    for (let kills = 0; kills < 4; kills++) {
      const before = history.bench.simulator.requests.length
      const victim = start(history, id)
      await Promise.race([asked(history, before + 2), survivor.ended])
      await sleep(random() * 400)
      victim.child.kill('SIGKILL')
      await victim.ended
    }
    expect((await survivor.ended).code, `seed ${SEED}\n${survivor.err()}`).toBe(0)
    expect(await lakeState(history.bench.platform), `seed ${SEED}`).toEqual(undisturbed)
    expect(await readLake(history.bench.platform)).toEqual({ rows: ROWS, duplicateKeys: 0, wrongHashes: [] })
  })

  test('says how it goes in JSON lines, the last one with its peak memory, and in the table progress', async () => {
    const history = await open()
    const id = await history.plan()
    const workers = [start(history, id), start(history, id)]
    for (const worker of workers) expect((await worker.ended).code, worker.err()).toBe(0)
    for (const worker of workers) {
      const said = lines(worker.err())
      expect(said[0]).toMatchObject({ event: 'backfill_progress', backfillId: id, windows: expect.any(Number) })
      expect(said.at(-1)).toMatchObject({
        event: 'backfill_ended',
        end: 'done',
        left: 0,
        maxRssBytes: expect.any(Number),
      })
    }
    const { json } = await history.cli(['--json', 'backfill', 'status', id])
    expect(json.workers).toHaveLength(2)
    const rows = (json.workers as { rows: number; state: string; silent: boolean }[]).map(({ rows }) => rows)
    expect(rows.reduce((sum, count) => sum + count, 0)).toBe(ROWS)
    expect(json.workers).toMatchObject([
      { state: 'done', silent: false },
      { state: 'done', silent: false },
    ])
  })

  test('a storage without the table progress does not fail it', async () => {
    const history = await open()
    const id = await history.plan()
    const elsewhere = `${environment.newStorageAccount()}`
    const broken = history.services.storageConnectionString.replace(
      /TableEndpoint=[^;]+/,
      /TableEndpoint=[^;]+/.exec(elsewhere)?.[0].replace(/:\d+\//, ':9/') ?? '',
    )
    const worker = startCommand('cli', ['--json', 'backfill', 'run', id], {
      ...settings(history),
      AzureWebJobsStorage: broken,
    })
    expect((await worker.ended).code, worker.err()).toBe(0)
    expect(lines(worker.err()).filter(({ event }) => event === 'progress_not_written')).toHaveLength(1)
  })

  describe('as the job', () => {
    test('takes the oldest plan without being told its id, and exits 0', async () => {
      const history = await open()
      const id = await history.plan()
      const job = startCommand('backfill', [], settings(history))
      expect((await job.ended).code, job.err()).toBe(0)
      expect((await history.cli(['--json', 'backfill', 'status', id])).json).toMatchObject({ state: 'finished' })
      const again = startCommand('backfill', [], settings(history))
      expect((await again.ended).code).toBe(0)
      expect(again.out()).toBe('no backfill has anything to do\n')
    })

    test('exits 2 where a setting is wrong, and says which', async () => {
      const history = await open()
      const job = startCommand('backfill', [], { ...settings(history), TRIBUTARY_LEASE_SECONDS: 'long' })
      expect((await job.ended).code).toBe(2)
      expect(job.err()).toContain('TRIBUTARY_LEASE_SECONDS: expected a whole number from 3 to 3600, got "long"')
    })
  })
})
