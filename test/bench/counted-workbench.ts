import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import type { IoHook } from '../../shared/io-hook.ts'
import type { TestEnvironment } from '../support/environment.ts'
import { openWorkbench, type StreamEntry, type Workbench } from '../support/workbench.ts'
import { type Timed, timed } from './results.ts'

export type Operations = {
  readonly postgres: number
  readonly blob: number
  readonly queue: number
  readonly http: number
}

export type CountedWorkbench = {
  readonly bench: Workbench
  /** Daily bars of every stream up to a day, and everything that follows from it. */
  readonly goOnTo: (until: string) => Promise<Timed & Operations>
  readonly close: () => Promise<void>
}

/** Streams of daily bars of symbols of their own, from `origin` on; nothing is fetched yet. */
export async function openCounted(
  environment: TestEnvironment,
  { origin, streams }: { readonly origin: string; readonly streams: number },
): Promise<CountedWorkbench> {
  const counts = { postgres: 0, blob: 0, queue: 0, http: 0, table: 0 }
  const hook: IoHook = (operation, run) => {
    counts[operation.client]++
    return run()
  }
  const symbols = Array.from({ length: streams }, (_, index) => `S${index}`)
  const entries = (until: string): readonly StreamEntry[] =>
    symbols.map((symbol) => ({
      source: 'alpaca',
      dataset: 'bars',
      params: { symbol, timeframe: '1d' },
      origin,
      until,
      every: '15m',
    }))
  const bench = await openWorkbench({
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
    streams: entries(origin),
    simulator: { series: symbols.map((symbol) => loadSp500(symbol)) },
    hook,
    verify: false,
  })
  return {
    bench,
    async goOnTo(until) {
      await bench.writeStreams(entries(until))
      const before = { ...counts }
      const took = await timed(async () => {
        await bench.plan()
        await bench.drain()
      })
      return {
        ...took,
        postgres: counts.postgres - before.postgres,
        blob: counts.blob - before.blob,
        queue: counts.queue - before.queue,
        http: counts.http - before.http,
      }
    },
    close: () => bench.close(),
  }
}
