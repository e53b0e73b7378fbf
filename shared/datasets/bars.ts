import { z } from 'zod'
import { defineDataset } from './contract.ts'

/** Timeframes that curated files may hold; ADR-002 asks for daily and minute bars. */
export const TIMEFRAMES = ['1m', '5m', '15m', '1h', '1d'] as const
export type Timeframe = (typeof TIMEFRAMES)[number]

const finite = z.number()
// A lone surrogate has no UTF-8 form: two keys that differ in memory would be one in the file.
const text = z
  .string()
  .min(1)
  .refine((value) => value.isWellFormed())

/** OHLC bars as the vendor gave them, ADR-002's canonical schema and what its readers asked for beside it. */
export const bars = defineDataset({
  name: 'bars',
  contractVersion: 1,
  description: 'open, high, low and close of one instrument over one interval',
  columns: [
    {
      name: 'ts',
      type: 'instant',
      nullable: false,
      description: 'start of the bar, UTC; of daily bars 00:00Z of the session date',
    },
    { name: 'session_date', type: 'date', nullable: false, description: 'date of the trading session at the exchange' },
    { name: 'open', type: 'double', nullable: false, description: 'first price', unit: 'quote currency' },
    { name: 'high', type: 'double', nullable: false, description: 'highest price', unit: 'quote currency' },
    { name: 'low', type: 'double', nullable: false, description: 'lowest price', unit: 'quote currency' },
    { name: 'close', type: 'double', nullable: false, description: 'last price', unit: 'quote currency' },
    { name: 'volume', type: 'double', nullable: true, description: 'traded quantity; null where there is none' },
    { name: 'symbol', type: 'string', nullable: false, description: "the stream's subject" },
    { name: 'timeframe', type: 'string', nullable: false, description: 'length of the bar', oneOf: TIMEFRAMES },
    { name: 'source', type: 'string', nullable: false, description: 'provider of the bar' },
    { name: 'adjustment', type: 'string', nullable: false, description: 'raw unless the vendor cannot' },
    { name: 'trade_count', type: 'int64', nullable: true, description: 'number of trades' },
    { name: 'vwap', type: 'double', nullable: true, description: 'volume-weighted average price' },
  ],
  key: ['symbol', 'timeframe', 'source', 'ts'],
  eventTime: 'ts',
  partitionBy: ({ timeframe }) => (timeframe === '1d' ? 'year' : 'month'),
  row: z.object({
    ts: z.int64(),
    session_date: z.int32(),
    open: finite,
    high: finite,
    low: finite,
    close: finite,
    volume: finite.nullable(),
    symbol: text,
    timeframe: z.enum(TIMEFRAMES),
    source: text,
    adjustment: text,
    trade_count: z.int64().nullable(),
    vwap: finite.nullable(),
  }),
})
