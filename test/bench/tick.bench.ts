import { describe, test } from 'vitest'
import { useTestEnvironment } from '../support/environment.ts'
import { openCounted } from './counted-workbench.ts'
import { type Measure, report } from './results.ts'

// The provider gives 200 answers a minute: more streams than these measure its patience.
const STREAMS = (process.env.TRIBUTARY_BENCH_STREAMS ?? '1,10,90').split(',').map(Number)

describe('one tick', () => {
  const environment = useTestEnvironment()

  test('of many streams, each with one new page', async () => {
    const measures: Measure[] = []
    for (const streams of STREAMS) {
      const counted = await openCounted(environment, { origin: '2019-11-04', streams })
      await counted.goOnTo('2020-01-20')
      await counted.bench.settle()
      const { wallS, cpuS, postgres, blob, queue, http } = await counted.goOnTo('2020-01-22')
      const each = (count: number) => (count / streams).toFixed(1)
      measures.push({
        what: `${streams} streams, of each`,
        value: `${each(wallS * 1_000)} ms (${each(cpuS * 1_000)} of CPU here), ${each(http)} calls, ${each(postgres)} postgres, ${each(blob)} blob, ${each(queue)} queue operations`,
        target: '<= 8 postgres, <= 4 blob',
      })
      await counted.close()
    }
    await report('tick', measures)
  })
})
