import { runCli } from '../../jobs/cli/program.ts'
import { barSeriesOf } from '../../jobs/local/providers/bar-series.ts'
import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { openTable } from '../../shared/azure/tables.ts'
import { PROGRESS_TABLE } from '../../shared/config/storage-names.ts'
import type { TestEnvironment } from '../support/environment.ts'
import { openWorkbench, type StreamEntry, type Workbench, type WorkbenchOptions } from '../support/workbench.ts'

/** A stream of hours whose history waits for a backfill; the data ends with its `until`. Seven bars a session. */
export function hours(symbol: string, origin: string, until: string): StreamEntry {
  return barsOf({ symbol, timeframe: '1h' }, origin, until)
}

/** The same in minutes, 390 a session. */
export function minutes(symbol: string, origin: string, until: string): StreamEntry {
  return barsOf({ symbol, timeframe: '1m' }, origin, until)
}

function barsOf(params: Readonly<Record<string, string>>, origin: string, until: string): StreamEntry {
  return { source: 'alpaca', dataset: 'bars', params, origin, until, every: '15m', history: 'backfill' }
}

export type History = {
  readonly bench: Workbench
  readonly services: { readonly databaseUrl: string; readonly storageConnectionString: string }
  /** Runs one command line; `json` is the document that it printed. */
  readonly cli: (argv: readonly string[], signal?: AbortSignal) => Promise<CommandResult>
  /** Plans all there is, month by month, and returns the id. */
  readonly plan: (...more: string[]) => Promise<string>
}

export type CommandResult = {
  readonly code: number
  readonly out: string
  readonly err: string
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects.
  readonly json: any
}

/** A workbench with bars of several symbols, a provider that limits nothing, and the command line on it. */
export async function openHistory(
  environment: TestEnvironment,
  streams: readonly StreamEntry[],
  more: Partial<WorkbenchOptions> = {},
): Promise<History> {
  const services = {
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  }
  const sessions = loadSessions()
  const symbols = [...new Set(streams.map(({ params }) => (params as { symbol: string }).symbol))]
  const bench = await openWorkbench({
    ...services,
    streams,
    ...more,
    simulator: {
      series: symbols.map((symbol) => barSeriesOf(symbol, sessions)),
      limits: { requestsPerMinute: 1_000_000 },
      compress: false,
      ...more.simulator,
    },
  })
  const { platform } = bench
  await openTable({ account: platform.settings.lakeStorage, table: PROGRESS_TABLE }).ensure()
  await bench.plan()
  const cli = async (argv: readonly string[], signal = new AbortController().signal): Promise<CommandResult> => {
    const printed = { out: '', err: '' }
    const print = (where: 'out' | 'err') => (text: string) => {
      printed[where] += text
    }
    const streams = { out: print('out'), err: print('err') }
    const code = await runCli(argv, { env: {}, streams, signal, platform })
    return { code, ...printed, json: /^[{[]/.test(printed.out) ? JSON.parse(printed.out) : undefined }
  }
  return {
    bench,
    services,
    cli,
    async plan(...more) {
      const { json, err } = await cli(['--json', 'backfill', 'plan', '--stream', '*', '--step', '1mo', ...more])
      if (typeof json?.backfillId !== 'string') throw new Error(`plan: expected a backfill, got ${err}`)
      return json.backfillId
    },
  }
}

/**
 * As if the provider sold as many requests as one likes: the bucket is filled again all the time. To wait for the real
 * quota would prove nothing here. Returns what ends it.
 */
export function keepBudgetFull({ query }: Workbench): () => Promise<void> {
  let ended = false
  const filling = (async () => {
    while (!ended) {
      await query('update ingest.rate_budget set tokens = capacity, refilled_at = now()')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  return async () => {
    ended = true
    await filling
  }
}
