import { describe, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { openCounted } from './counted-workbench.ts'
import { type Measure, milliseconds, percentile, report } from './results.ts'

const BEHIND = { '1 year': '2019-01-02', '20 years': '2000-01-03' } as const
const FIRST_DAY = Date.UTC(2020, 0, 20)
const RUNS = 20

describe('an incremental run', () => {
  const environment = useTestEnvironment()

  test('is measured with one year and with twenty years behind it', async () => {
    const dayOf = (run: number) => new Date(FIRST_DAY + run * 86_400_000).toISOString().slice(0, 10)
    const benches = []
    for (const [behind, origin] of Object.entries(BEHIND)) {
      const counted = await openCounted(environment, { origin, streams: 1 })
      await counted.goOnTo(dayOf(0))
      await counted.bench.settle()
      benches.push({ behind, counted, times: [] as number[], operations: { postgres: 0, blob: 0 } })
    }
    // In turns, so that what else the machine does falls on both.
    for (let run = 1; run <= RUNS; run++) {
      for (const bench of benches) {
        const { wallS, postgres, blob } = await bench.counted.goOnTo(dayOf(run))
        bench.times.push(wallS * 1_000)
        bench.operations = { postgres: bench.operations.postgres + postgres, blob: bench.operations.blob + blob }
      }
    }
    const measures: Measure[] = benches.map(({ behind, times, operations }) => {
      const each = `${(operations.postgres / RUNS).toFixed(1)} postgres, ${(operations.blob / RUNS).toFixed(1)} blob operations`
      return { what: `with ${behind} behind it`, value: `${milliseconds(times)} · ${each}` }
    })
    const [short = 0, long = 0] = benches.map(({ times }) => percentile(times, 0.5))
    measures.push({ what: 'twenty years to one', value: (long / short).toFixed(2), target: '<= 1.1' })
    for (const { counted } of benches) await counted.close()
    await report('history', measures)
  })
})
