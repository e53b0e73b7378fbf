import { bars } from '../../datasets/bars.ts'
import { ConfigError } from '../../errors.ts'
import { formatInstant, MICROS_PER_SECOND } from '../../instant.ts'
import { defineSource, type ProviderRequest, type Window } from '../contract.ts'
import { barsPage } from './page.ts'
import { type AlpacaParams, alpacaParams, subjectOf, TIMEFRAME_FACTS } from './params.ts'
import { barsRecords } from './records.ts'

/** Free plans see SIP history except the last 15 minutes, and a minute is computed again 30 s after its end. */
const SETTLE_LAG_S = 20 * 60

/**
 * A daily bar is final four hours after the close (16:00 in New York), when post-market trading ends too: 00:00Z of the
 * next day in summer, 01:00Z in winter. Its interval ends at 00:00Z of the next day, so an hour covers both.
 */
const DAILY_SETTLE_LAG_S = 3_600 + SETTLE_LAG_S

/**
 * Trades of a day are corrected, and late ones booked, in the sessions that follow. Three sessions around a long weekend
 * span six days. A week of minutes, pre- and post-market included, is 4,800 bars: one page, one request.
 */
const LOOKBACK_S = 7 * 86_400

/** Bars of all symbols on one page; the largest that is allowed. */
const PAGE_RECORDS_MAX = 10_000

/** Bars of US stocks and funds, https://docs.alpaca.markets/reference/stockbars. */
export const alpaca = defineSource<AlpacaParams>({
  id: 'alpaca',
  dataset: bars,
  params: alpacaParams,
  transformVersion: 1,
  baseUrl: 'https://data.alpaca.markets',
  credentials: ['ALPACA_KEY_ID', 'ALPACA_SECRET_KEY'],
  // The limit is 200 requests in any minute. At most 20 + 60 x 2.5 = 170 tokens are given out in one. The other 30 are
  // for what the bucket does not see: tries after a 5xx, and requests that the network held back.
  budget: { key: 'alpaca', capacity: 20, refillPerS: 2.5 },
  // The largest window, a month of minutes, cannot have more than 43,200 bars, five pages, however many venues trade by
  // night. Pages may be short or even empty before the last one.
  pagesMax: 32,
  bodyBytesMax: 16 * 1024 * 1024,
  consistency({ timeframe }) {
    const { seconds, maxWindowDays } = TIMEFRAME_FACTS[timeframe]
    return {
      granularityS: seconds,
      settleLagS: timeframe === '1d' ? DAILY_SETTLE_LAG_S : SETTLE_LAG_S,
      maxWindowS: maxWindowDays * 86_400,
      lookbackS: LOOKBACK_S,
    }
  },
  subject: subjectOf,
  timeframe: (params) => params.timeframe,
  request: barsRequest,
  authorize(request, credentials) {
    const headers = {
      ...request.headers,
      'apca-api-key-id': credential(credentials, 'ALPACA_KEY_ID'),
      'apca-api-secret-key': credential(credentials, 'ALPACA_SECRET_KEY'),
    }
    return { ...request, headers }
  },
  page: barsPage,
  records: barsRecords,
})

/**
 * Alpaca's `start` and `end` are both inclusive, so a half-open window ends one second early: bars begin at whole
 * minutes. Daily bars begin at midnight in New York, 04:00Z or 05:00Z of their session date, and windows of them are
 * whole UTC days: from 00:00Z of the first date to 23:59:59Z of the last lie exactly the sessions of the window, on
 * either side of a DST switch.
 *
 * `asof` is left at its default, today: a renamed company's history comes under its present symbol. `-` would end it
 * at the renaming.
 */
function barsRequest(params: AlpacaParams, { lo, hi }: Window, token: string | null): ProviderRequest {
  return {
    method: 'GET',
    path: '/v2/stocks/bars',
    query: {
      symbols: params.symbol,
      timeframe: TIMEFRAME_FACTS[params.timeframe].wire,
      start: formatInstant(lo),
      end: formatInstant(hi - MICROS_PER_SECOND),
      limit: String(PAGE_RECORDS_MAX),
      adjustment: params.adjustment,
      feed: params.feed,
      sort: 'asc',
      ...(token === null ? {} : { page_token: token }),
    },
  }
}

function credential(credentials: Readonly<Record<string, string>>, name: string): string {
  const value = credentials[name]
  if (!value) throw new ConfigError([`${name}: expected a value, got none`])
  return value
}
