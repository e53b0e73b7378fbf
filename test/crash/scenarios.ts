import { openLedger } from '../ingest/ledger.ts'
import { openWorkbench } from '../support/workbench.ts'
import type { Scenario } from './crash-matrix.ts'

/** Plan, land, curate; two partitions. */
const WHOLE_INGEST: Scenario = {
  name: 'one whole ingest',
  operationsMin: 20,
  records: 500,
  async open(services) {
    const bench = await openWorkbench(services)
    return {
      bench,
      prepare: async () => undefined,
      async act() {
        await bench.plan()
        await bench.drain()
      },
      recover: () => bench.settle(),
    }
  },
}

const FIRST = { lines: ['2020-01-02,1', '2020-01-03,1', '2021-01-04,1'], modifiedAt: '2020-02-03T08:00:00Z' }
const SECOND = { lines: ['2020-01-02,2', '2020-01-05,2'], modifiedAt: '2020-02-04T08:00:00Z' }

/** Plan, land, curate, supersede, and the rebuilds of two partitions. */
const NEW_VERSION: Scenario = {
  name: 'a new version of a file',
  operationsMin: 20,
  records: 5,
  async open(services) {
    const books = await openLedger(services)
    const { bench } = books
    return {
      bench,
      async prepare() {
        await books.drop(FIRST)
        await bench.settle()
        await books.put(SECOND)
      },
      async act() {
        await books.plan(SECOND, await books.seen())
        await bench.sweep()
        await bench.drain()
      },
      async recover() {
        await books.plan(SECOND, await books.seen())
        await bench.settle()
      },
    }
  },
}

export const SCENARIOS: readonly Scenario[] = [WHOLE_INGEST, NEW_VERSION]
