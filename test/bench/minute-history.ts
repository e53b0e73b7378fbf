import { loadSessions } from '../../jobs/local/providers/sp500.ts'
import { formatDate, parseDate } from '../../shared/instant.ts'
import { type History, keepBudgetFull, minutes, openHistory } from '../ingest/history.ts'
import type { TestEnvironment } from '../support/environment.ts'
import { measureProcess, type Usage } from './measured-process.ts'

const UNTIL = '2020-01-01'
const MINUTES_PER_SESSION = 390

export type MinuteHistory = {
  readonly history: History
  readonly symbols: readonly string[]
  readonly from: string
  readonly until: string
  /** Whole sessions: a few more than were asked for. */
  readonly rows: number
  /** Backfills all of it, month by month, with one worker in a process of its own. */
  readonly backfill: () => Promise<Usage>
  readonly close: () => Promise<void>
}

/** At least so many one-minute bars that nobody has fetched yet, of as few symbols as have them. */
export async function openMinuteHistory(environment: TestEnvironment, rowsMin: number): Promise<MinuteHistory> {
  const end = parseDate(UNTIL) ?? Number.NaN
  const sessions = loadSessions().filter(({ date }) => date < end)
  const needed = Math.ceil(rowsMin / MINUTES_PER_SESSION)
  const symbols = Array.from({ length: Math.ceil(needed / sessions.length) }, (_, index) => `S${index}`)
  const each = sessions.slice(-Math.ceil(needed / symbols.length))
  const from = formatDate(each[0]?.date ?? Number.NaN)
  const streams = symbols.map((symbol) => minutes(symbol, from, UNTIL))
  const history = await openHistory(environment, streams, { verify: false })
  const id = await history.plan()
  return {
    history,
    symbols,
    from,
    until: UNTIL,
    rows: symbols.length * each.length * MINUTES_PER_SESSION,
    async backfill() {
      // Else the provider's 200 requests a minute are measured.
      const refilled = keepBudgetFull(history.bench)
      try {
        return await measureProcess('dist/jobs/cli.js', ['--json', 'backfill', 'run', id], {
          DATABASE_URL: history.services.databaseUrl,
          AzureWebJobsStorage: history.services.storageConnectionString,
          ALPACA_BASE_URL: history.bench.simulator.url,
          ALPACA_KEY_ID: 'test-key-id',
          ALPACA_SECRET_KEY: 'test-secret-key',
        })
      } finally {
        await refilled()
      }
    },
    close: () => history.bench.close(),
  }
}
