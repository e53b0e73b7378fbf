import { afterEach, describe, expect, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import {
  openWorkbench,
  type StreamEntry,
  TWO_YEARS,
  type Workbench,
  type WorkbenchOptions,
} from '../support/workbench.ts'

const ALL_YEARS: StreamEntry = { ...TWO_YEARS, origin: '2000-01-03', until: '2020-04-18' }

describe('the main job', () => {
  const environment = useTestEnvironment()
  const opened: Workbench[] = []
  afterEach(async () => {
    for (const bench of opened.splice(0)) await bench.close()
  })
  const open = async (options: Partial<WorkbenchOptions> = {}) => {
    const bench = await openWorkbench({
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
      streams: [ALL_YEARS],
      ...options,
    })
    opened.push(bench)
    return bench
  }

  test('publishes the 5,105 daily bars of twenty years, one file a year', async () => {
    const bench = await open()
    await bench.settle()
    const state = await lakeState(bench.platform)
    expect(Object.keys(state.partitions)).toHaveLength(21)
    expect(Object.keys(state.partitions)[0]).toBe('dataset=bars/timeframe=1d/symbol=SPX/year=2000/part-alpaca.parquet')
    expect(await readLake(bench.platform)).toEqual({ rows: 5105, duplicateKeys: 0, wrongHashes: [] })
    expect(state.published).toEqual(['{["2000-01-03 00:00:00+00","2020-04-18 00:00:00+00")}'])
    expect(state.records).toBe(5105)
    expect(state.outcomes).toBe(5105)
  })

  test('I3 same bytes: every file is what the raw pages of its ingests make, byte for byte', async () => {
    const bench = await open()
    await bench.settle()
    expect(await filesUnlikeTheirRaw(bench.platform)).toEqual([])
  })

  test('goes on from the checkpoint: a second run asks the provider nothing and changes nothing', async () => {
    const bench = await open()
    await bench.settle()
    const before = await lakeState(bench.platform)
    const asked = bench.simulator.requests.length
    await bench.settle()
    expect(bench.simulator.requests.length).toBe(asked)
    expect(await lakeState(bench.platform)).toEqual(before)
  })

  test('two workers on one stream, every message delivered twice and reordered: same content, records and rejects', async () => {
    // One record of every answer breaks its contract: the rejects must come out the same too.
    const simulator = { faults: () => ({ kind: 'field', change: 'null', field: 'c', row: 5 }) as const }
    const undisturbed = await open({ simulator })
    await undisturbed.settle()
    const expected = await lakeState(undisturbed.platform)
    expect(expected.rejects).toHaveLength(5)

    const services = {
      databaseUrl: await environment.newDatabase(),
      storageConnectionString: environment.newStorageAccount(),
    }
    const workers = [await open({ ...services, simulator }), await open({ ...services, simulator })] as const
    const reversed = <T>(items: readonly T[]) => [...items].reverse()
    await workers[0].plan()
    await Promise.all(workers.map((worker) => worker.drain({ twice: true, atOnce: 4, order: reversed })))
    await workers[1].settle()
    expect(await lakeState(workers[0].platform)).toEqual(expected)
    expect(await readLake(workers[0].platform)).toEqual({ rows: 5100, duplicateKeys: 0, wrongHashes: [] })
    expect(await filesUnlikeTheirRaw(workers[0].platform)).toEqual([])
  })

  test('I7 the provider is asked once: whatever is delivered again, each page is fetched one time', async () => {
    const bench = await open()
    await bench.plan()
    await bench.drain({ twice: true, atOnce: 4 })
    await bench.settle()
    expect(bench.simulator.requests).toHaveLength(5)
  })
})
