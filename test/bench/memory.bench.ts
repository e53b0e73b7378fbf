import { describe, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { openMinuteHistory } from './minute-history.ts'
import { type Measure, report } from './results.ts'

const ROWS = (process.env.TRIBUTARY_BENCH_MEMORY ?? '1000000,5000000').split(',').map(Number)

describe('the memory of a backfill', () => {
  const environment = useTestEnvironment()

  test('is measured with one and with five million rows', async () => {
    const measures: Measure[] = []
    for (const rowsMin of ROWS) {
      const { backfill, rows, symbols, close } = await openMinuteHistory(environment, rowsMin)
      const { rssBytes, wallS, cpuS } = await backfill()
      await close()
      measures.push({
        what: `peak of the worker, ${rows} rows of ${symbols.length} streams`,
        value: `${Math.round(rssBytes / 1024 / 1024)} MiB in ${wallS.toFixed(1)} s (${cpuS.toFixed(1)} of CPU)`,
        target: '<= 512 MiB',
      })
    }
    await report('memory', measures)
  })
})
