import { barSeriesOf, revisedSeries } from '../../jobs/local/providers/bar-series.ts'
import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { planBackfill } from '../../shared/ingest/backfill/plan.ts'
import { runBackfill } from '../../shared/ingest/backfill/run.ts'
import { planLookbackTick } from '../../shared/ingest/plan/plan-lookback-tick.ts'
import { selectStream } from '../../shared/ingest/plan/select-streams.ts'
import { previewReprocess, runReprocess } from '../../shared/ingest/repair/reprocess.ts'
import type { Platform } from '../../shared/platform.ts'
import { closeAtMost, VOLUMES_IN_HUNDREDS } from '../ingest/changed-transform.ts'
import { openLedger } from '../ingest/ledger.ts'
import { openWorkbench, type StreamEntry, TWO_YEARS, type WorkbenchOptions } from '../support/workbench.ts'
import type { Scenario } from './crash-matrix.ts'

/** Plan, land and curate what a stream misses. */
function ingest(scenario: Omit<Scenario, 'open'>, options: Partial<WorkbenchOptions> = {}): Scenario {
  return {
    ...scenario,
    async open(services) {
      const bench = await openWorkbench({ ...services, ...options })
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
}

/** Two partitions. */
const WHOLE_INGEST = ingest({ name: 'one whole ingest', operationsMin: 20, records: 500 })

/** Days on which nothing was traded: covered at once, and nothing to curate. */
const EMPTY_WINDOW = ingest(
  { name: 'a window without records', operationsMin: 10, records: 0 },
  { streams: [{ ...TWO_YEARS, origin: '2001-09-12', until: '2001-09-15' }] },
)

/** Nineteen records that break their contract, beside good ones. */
const REJECTS = ingest(
  { name: 'an ingest with rejects', operationsMin: 20, records: 500 },
  { sources: closeAtMost(1330) },
)

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

/** The last sixty sessions, of which one is corrected after it was ingested; all of them are read again. */
const LOOKBACK: Scenario = {
  name: 'a lookback',
  operationsMin: 20,
  records: 120,
  async open(services) {
    const sessions = loadSessions().slice(-60)
    const first = sessions[0]?.date ?? 0
    const end = (sessions.at(-1)?.date ?? 0) + 1
    let corrected = false
    const series = revisedSeries(barSeriesOf('SPX', sessions), (bar) =>
      corrected && bar.atS < (first + 5) * 86_400 ? { ...bar, volume: bar.volume + 1 } : bar,
    )
    const day = (date: number) => new Date(date * 86_400_000).toISOString().slice(0, 10)
    const stream = { ...TWO_YEARS, origin: day(first), until: day(end), lookback: '9000d' }
    const bench = await openWorkbench({ ...services, simulator: { series }, streams: [stream] })
    const readAgain = async () => {
      corrected = true
      await planLookbackTick(bench.platform)
    }
    return {
      bench,
      prepare: () => bench.settle(),
      async act() {
        await readAgain()
        await bench.drain()
      },
      async recover() {
        await readAgain()
        await bench.settle()
      },
    }
  },
}

/** Two files made again from raw with another transform. */
const REPROCESS: Scenario = {
  name: 'a reprocess',
  operationsMin: 20,
  records: 500,
  async open(services) {
    const bench = await openWorkbench({ ...services, sources: VOLUMES_IN_HUNDREDS })
    return {
      bench,
      async prepare() {
        const before = await openWorkbench({ ...services, hook: (_operation, run) => run(), verify: false })
        await before.settle()
        await before.close()
      },
      act: () => reprocess(bench.platform),
      async recover() {
        await bench.settle()
        await reprocess(bench.platform)
        await bench.settle()
      },
    }
  },
}

async function reprocess(platform: Platform): Promise<void> {
  const signal = new AbortController().signal
  const stream = await selectStream(platform.db, 'alpaca/bars/SPX/1d')
  const all = { lo: null, hi: null, outdated: true }
  const preview = await previewReprocess(platform, stream, all, { signal, onPartition: () => undefined })
  await runReprocess(platform, preview, { actor: 'test', action: 'reprocess', signal, onDone: () => undefined })
}

const HISTORY: StreamEntry = { ...TWO_YEARS, history: 'backfill' }

/** Two windows of a backfill, claimed by its worker and by nobody else. */
const BACKFILL: Scenario = {
  name: 'a backfill',
  operationsMin: 30,
  records: 500,
  async open(services) {
    const bench = await openWorkbench({ ...services, streams: [HISTORY] })
    const activeBackfill = async () => {
      const text = `select backfill_id as "backfillId" from ingest.backfill where state = 'active'`
      return (await bench.query<{ backfillId: string }>(text))[0]?.backfillId
    }
    const work = async () => {
      const backfillId = await activeBackfill()
      if (backfillId === undefined) return
      await runBackfill(bench.platform, {
        backfill: { backfillId, newestFirst: false },
        concurrency: 1,
        // Whoever comes next does not wait either: the pause before another attempt is taken away.
        maxWaitMs: 500,
        patient: false,
        stop: new AbortController().signal,
        stopAfterMs: null,
        onProgress: () => undefined,
      })
    }
    return {
      bench,
      async prepare() {
        await bench.plan()
        const yearly = { from: null, to: null, step: '1y', newestFirst: false, again: false, dryRun: false }
        await planBackfill(bench.platform, { streams: ['*'], actor: 'test', ...yearly })
      },
      act: work,
      async recover() {
        for (let runs = 0; runs < 10 && (await activeBackfill()) !== undefined; runs++) {
          await bench.sweep()
          await bench.query('update provenance.source_ingest set next_attempt_at = null')
          await work()
        }
        await bench.settle()
      },
    }
  },
}

/** Their cases take seconds. */
export const QUICK: readonly Scenario[] = [WHOLE_INGEST, EMPTY_WINDOW, REJECTS, NEW_VERSION, LOOKBACK, REPROCESS]

export const SCENARIOS: readonly Scenario[] = [...QUICK, BACKFILL]
