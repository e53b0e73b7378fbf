import type { Timeframe } from '../../../shared/datasets/bars.ts'
import { type Bar, dailyBarOf, minuteBarsOf, type Session } from './minute-bars.ts'
import { seededRandom } from './seeded-random.ts'

export const TIMEFRAME_SECONDS: Readonly<Record<Timeframe, number>> = {
  '1m': 60,
  '5m': 300,
  '15m': 900,
  '1h': 3_600,
  '1d': 86_400,
}

/** The bars of one symbol, made when they are asked for. */
export type BarSeries = {
  readonly symbol: string
  /** Ascending, `fromS` and `toS` (seconds since 1970) inclusive. */
  readonly bars: (timeframe: Timeframe, fromS: number, toS: number) => Iterable<Bar>
}

/** Daily bars as they are, minutes invented from them, and the other timeframes summed up from the minutes. */
export function barSeriesOf(symbol: string, sessions: readonly Session[]): BarSeries {
  return {
    symbol,
    *bars(timeframe, fromS, toS) {
      // All bars of a session begin on its own date in UTC too.
      for (let index = firstFrom(sessions, Math.floor(fromS / 86_400)); index < sessions.length; index++) {
        const session = sessions[index] as Session
        if (session.date * 86_400 > toS) return
        for (const bar of barsOfSession(symbol, session, timeframe)) {
          if (bar.atS >= fromS && bar.atS <= toS) yield bar
        }
      }
    },
  }
}

function barsOfSession(symbol: string, session: Session, timeframe: Timeframe): readonly Bar[] {
  if (timeframe === '1d') return [dailyBarOf(session)]
  const minutes = minuteBarsOf(symbol, session)
  return timeframe === '1m' ? minutes : aggregate(minutes, TIMEFRAME_SECONDS[timeframe])
}

/** Bars of `stepS`, at multiples of it in UTC: the first hour of a session has 30 minutes. */
export function aggregate(minutes: readonly Bar[], stepS: number): readonly Bar[] {
  const bars: Bar[] = []
  for (const minute of minutes) {
    const atS = Math.floor(minute.atS / stepS) * stepS
    const last = bars.at(-1)
    if (last?.atS === atS) {
      const volume = last.volume + minute.volume
      bars[bars.length - 1] = {
        ...last,
        high: Math.max(last.high, minute.high),
        low: Math.min(last.low, minute.low),
        close: minute.close,
        volume,
        tradeCount: last.tradeCount + minute.tradeCount,
        vwap: Math.round(((last.vwap * last.volume + minute.vwap * minute.volume) / volume) * 1e6) / 1e6,
      }
    } else {
      bars.push({ ...minute, atS })
    }
  }
  return bars
}

/** Index of the first session on or after a date. */
function firstFrom(sessions: readonly Session[], date: number): number {
  let low = 0
  let high = sessions.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sessions[middle] as Session).date < date) low = middle + 1
    else high = middle
  }
  return low
}

/** What the provider says of a bar today: the bar, another in its place, or nothing yet. */
export type Revise = (bar: Bar, timeframe: Timeframe) => Bar | undefined

/**
 * A series that changes while it is watched: late rows are bars that are not there yet, corrections are bars that were
 * something else before, and a late row before the cursor of a running chain shifts its pages.
 */
export function revisedSeries(series: BarSeries, revise: Revise): BarSeries {
  return {
    symbol: series.symbol,
    *bars(timeframe, fromS, toS) {
      for (const bar of series.bars(timeframe, fromS, toS)) {
        const revised = revise(bar, timeframe)
        if (revised) yield revised
      }
    },
  }
}

export type SeededRevisions = {
  readonly seed: string
  readonly now: () => number
  /** Of all bars, how many appear late, and how many are corrected. */
  readonly share: number
  /** How long after its start such a bar gets its last form, ms. */
  readonly delayMs: number
}

/** For each bar the same fate whenever it is asked for; all of them are final `delayMs` after they began. */
export function seededRevisions({ seed, now, share, delayMs }: SeededRevisions): Revise {
  return (bar, timeframe) => {
    if (bar.atS * 1000 + delayMs <= now()) return bar
    const fate = seededRandom(`${seed} ${timeframe} ${bar.atS}`)()
    if (fate < share) return undefined
    return fate < 2 * share ? { ...bar, volume: Math.floor(bar.volume / 2) } : bar
  }
}
