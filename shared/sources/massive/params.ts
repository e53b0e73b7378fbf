import { z } from 'zod'
import { TIMEFRAMES, type Timeframe } from '../../datasets/bars.ts'
import { sample } from '../../json.ts'

export type TimeframeFacts = {
  /** How Massive spells it, in a path: multiplier and timespan. */
  readonly wire: string
  readonly seconds: number
  readonly maxWindowDays: number
}

// A page is cut by minutes also where bars are longer: they are made of minutes when they are asked for. 31 days have
// 44,640 of them, fewer than the 50,000 of one page, also where trading never stops. Massive too advises months: it
// reports gaps in longer ranges. Daily bars are made of days; five years are one page and six files.
export const TIMEFRAME_FACTS: Readonly<Record<Timeframe, TimeframeFacts>> = {
  '1m': { wire: '1/minute', seconds: 60, maxWindowDays: 31 },
  '5m': { wire: '5/minute', seconds: 300, maxWindowDays: 31 },
  '15m': { wire: '15/minute', seconds: 900, maxWindowDays: 31 },
  '1h': { wire: '1/hour', seconds: 3_600, maxWindowDays: 31 },
  '1d': { wire: '1/day', seconds: 86_400, maxWindowDays: 1_826 },
}

/** What a symbol is decides what its bars have and when its day begins. */
export type Market = 'stock' | 'index' | 'currency'

/** `I:NDX` is an index, `C:XAUUSD` a currency or a metal, `TSLA` a stock. */
export function marketOf(symbol: string): Market {
  if (symbol.startsWith('I:')) return 'index'
  return symbol.startsWith('C:') ? 'currency' : 'stock'
}

const shown = (input: unknown) => sample(JSON.stringify(input), 60)

export const massiveParams = z
  .strictObject({
    /** Options (`O:`) and crypto (`X:`) have other sessions and are not taken. Case counts: `BACpL` is a preferred stock. */
    symbol: z.string().regex(/^(?!\.+$)(?:[IC]:)?[A-Za-z0-9.^_-]{1,30}$/, {
      error: ({ input }) => `expected a symbol such as TSLA, I:NDX or C:XAUUSD, got ${shown(input)}`,
    }),
    timeframe: z.enum(TIMEFRAMES),
    /** Massive adjusts for splits, never for dividends. */
    adjustment: z.enum(['raw', 'split']).default('raw'),
    /** Names the stream where one symbol has two, as in `TSLA@split`. */
    subject: z
      .string()
      .regex(/^[^\s,\p{C}]{1,60}$/u, {
        error: ({ input }) => `expected 1 to 60 printable characters without space or comma, got ${shown(input)}`,
      })
      .optional(),
  })
  .refine(({ symbol, adjustment }) => adjustment === 'raw' || marketOf(symbol) === 'stock', {
    path: ['adjustment'],
    error: 'expected raw for a symbol that is no stock: only stocks are split',
  })

export type MassiveParams = z.infer<typeof massiveParams>

export function subjectOf(params: MassiveParams): string {
  return params.subject ?? params.symbol
}
