import { z } from 'zod'
import { TIMEFRAMES, type Timeframe } from '../../datasets/bars.ts'
import { sample } from '../../json.ts'

export type TimeframeFacts = {
  /** How Alpaca spells it. */
  readonly wire: string
  readonly seconds: number
  readonly maxWindowDays: number
}

// With pre- and post-market a session has 16 hours: 31 days of minutes, a month and so a file, are about 20,000 bars, two
// pages; the other windows hold less. Five years of daily bars are one page and six files.
export const TIMEFRAME_FACTS: Readonly<Record<Timeframe, TimeframeFacts>> = {
  '1m': { wire: '1Min', seconds: 60, maxWindowDays: 31 },
  '5m': { wire: '5Min', seconds: 300, maxWindowDays: 90 },
  '15m': { wire: '15Min', seconds: 900, maxWindowDays: 90 },
  '1h': { wire: '1Hour', seconds: 3_600, maxWindowDays: 90 },
  '1d': { wire: '1Day', seconds: 86_400, maxWindowDays: 1_826 },
}

const symbol = z.string().regex(/^[^\s,\p{C}]{1,32}$/u, {
  error: ({ input }) =>
    `expected 1 to 32 printable characters without space or comma, got ${sample(JSON.stringify(input), 60)}`,
})

export const alpacaParams = z.strictObject({
  symbol,
  timeframe: z.enum(TIMEFRAMES),
  /** Venues whose trades make the bars. Their volumes differ by a factor: never mix feeds in one stream. */
  feed: z.enum(['iex', 'sip', 'delayed_sip', 'otc', 'boats', 'overnight']).default('iex'),
  adjustment: z.enum(['raw', 'split', 'dividend', 'all']).default('raw'),
  /** Names the stream where one symbol has two, as in `TSLA@sip`. */
  subject: symbol.optional(),
})

export type AlpacaParams = z.infer<typeof alpacaParams>

export function subjectOf(params: AlpacaParams): string {
  return params.subject ?? params.symbol
}
