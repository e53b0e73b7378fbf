import { newYorkSeconds } from './new-york.ts'
import { seededRandom } from './seeded-random.ts'

export type Bar = {
  /** Start, seconds since 1970. */
  readonly atS: number
  readonly open: number
  readonly high: number
  readonly low: number
  readonly close: number
  readonly volume: number
  readonly tradeCount: number
  readonly vwap: number
}

/** One trading day as the data file has it. */
export type Session = Omit<Bar, 'atS' | 'tradeCount' | 'vwap'> & {
  /** Days since 1970. */
  readonly date: number
}

export const MINUTES_PER_SESSION = 390
const OPENING_MINUTE = 9 * 60 + 30
/** Shares per trade, invented: 390 minutes of an index have then some trades each. */
const SHARES_PER_TRADE = 200

/** Midnight in New York, as Alpaca stamps daily bars. */
export function dailyBarOf({ date, ...prices }: Session): Bar {
  const tradeCount = Math.floor(prices.volume / SHARES_PER_TRADE)
  const vwap = typicalPrice(prices.high, prices.low, prices.close)
  return { ...prices, atS: newYorkSeconds(date), tradeCount, vwap }
}

/**
 * The 390 minutes from 09:30 to 16:00 in New York, invented from the day: they open and close with it, reach its high
 * and its low and never leave them, and their volumes and trade counts add up to its own. The same for the same symbol
 * and date, so that any window can be made on demand and no year need be kept.
 */
export function minuteBarsOf(symbol: string, session: Session): readonly Bar[] {
  const random = seededRandom(`${symbol} ${session.date}`)
  const closes = walk(session, random)
  const highest = closes.indexOf(Math.max(...closes))
  const lowest = closes.indexOf(Math.min(...closes))
  const soldUpTo = cumulativeVolumes(session.volume, random)
  const openingS = newYorkSeconds(session.date, OPENING_MINUTE)
  const spread = (session.high - session.low) / 50
  const bars: Bar[] = []
  let open = session.open
  let soldBefore = 0
  for (const [minute, close] of closes.entries()) {
    const sold = soldUpTo[minute] as number
    const upper = Math.max(open, close)
    const lower = Math.min(open, close)
    const high = minute === highest ? session.high : Math.max(upper, within(session, cents(upper + random() * spread)))
    const low = minute === lowest ? session.low : Math.min(lower, within(session, cents(lower - random() * spread)))
    // One literal with every field: spreading the prices into it took two thirds of the time of a page.
    bars.push({
      atS: openingS + minute * 60,
      open,
      high,
      low,
      close,
      volume: sold - soldBefore,
      tradeCount: Math.floor(sold / SHARES_PER_TRADE) - Math.floor(soldBefore / SHARES_PER_TRADE),
      vwap: typicalPrice(high, low, close),
    })
    open = close
    soldBefore = sold
  }
  return bars
}

/** Closing prices of the minutes: a random walk, bent so that it ends at the day's close. */
function walk(session: Session, random: () => number): readonly number[] {
  const step = (session.high - session.low) / 15
  const free: number[] = []
  let at = session.open
  for (let minute = 0; minute < MINUTES_PER_SESSION; minute++) {
    at += (random() - 0.5) * step
    free.push(at)
  }
  const missed = session.close - at
  return free.map((price, minute) => {
    if (minute === MINUTES_PER_SESSION - 1) return session.close
    return within(session, cents(price + (missed * (minute + 1)) / MINUTES_PER_SESSION))
  })
}

/** Volume sold up to the end of each minute, whole shares; more is traded after the opening and before the close. */
function cumulativeVolumes(volume: number, random: () => number): readonly number[] {
  const cumulative: number[] = []
  let total = 0
  for (let minute = 0; minute < MINUTES_PER_SESSION; minute++) {
    const fromNoon = (2 * minute) / (MINUTES_PER_SESSION - 1) - 1
    total += (0.5 + fromNoon * fromNoon) * (0.5 + random())
    cumulative.push(total)
  }
  return cumulative.map((weight) => Math.round((volume * weight) / total))
}

function within({ high, low }: Session, price: number): number {
  return Math.min(high, Math.max(low, price))
}

function cents(price: number): number {
  return Math.round(price * 100) / 100
}

function typicalPrice(high: number, low: number, close: number): number {
  return Math.round(((high + low + close) / 3) * 1e6) / 1e6
}
