import { bars } from '../../datasets/bars.ts'
import { ConfigError } from '../../errors.ts'
import { floorTo, formatDate, type Instant, MICROS_PER_DAY, MICROS_PER_MS } from '../../instant.ts'
import { defineSource, type ProviderRequest, type Window } from '../contract.ts'
import { barsPath } from './next-url.ts'
import { BASE_BARS_MAX, barsPage } from './page.ts'
import { type MassiveParams, marketOf, massiveParams, subjectOf, TIMEFRAME_FACTS } from './params.ts'
import { barsRecords } from './records.ts'

const HOUR_S = 3_600
const DAY_S = 24 * HOUR_S

/**
 * The free plan refuses whatever reaches into today in New York, and what Massive publishes of a day is complete by 11:00
 * there on the next. A minute after midnight has waited 35 hours by then, 36 in the autumn night that has an hour twice.
 * A plan with delayed or real-time data allows less: its streams set a `settleLag` of their own.
 */
const SETTLE_LAG_S = 36 * HOUR_S

/** The interval of a daily bar ends at 00:00Z after its date; 11:00 in New York on the next day is at most 16 hours later. */
const DAILY_SETTLE_LAG_S = DAY_S

/** Late trades and corrections are booked in the sessions that follow; a week holds three around any weekend. One page. */
const LOOKBACK_S = 7 * DAY_S

/** Bars of indices, currencies, metals and US stocks, https://massive.com/docs/rest/stocks/aggregates/custom-bars. */
export const massive = defineSource<MassiveParams>({
  id: 'massive',
  dataset: bars,
  params: massiveParams,
  transformVersion: 1,
  baseUrl: 'https://api.massive.com',
  credentials: ['MASSIVE_API_KEY'],
  // The free plan's limit is 5 requests in any minute. One token every 20 s gives out at most 1.2 + 3 = 4 in one; the
  // fifth is for what the bucket does not see, a try after a 5xx. The fifth of a token above one is what a backfill
  // leaves: with a capacity of one it would take every token in the very moment it came.
  budget: { key: 'massive', capacity: 1.2, refillPerS: 0.05 },
  // One page holds the largest window. Nine would, were the limit lowered to the 5,000 that is Massive's default.
  pagesMax: 16,
  // 50,000 bars have about 120 bytes each.
  bodyBytesMax: 16 * 1024 * 1024,
  consistency({ timeframe }) {
    const { seconds, maxWindowDays } = TIMEFRAME_FACTS[timeframe]
    return {
      granularityS: seconds,
      settleLagS: timeframe === '1d' ? DAILY_SETTLE_LAG_S : SETTLE_LAG_S,
      maxWindowS: maxWindowDays * DAY_S,
      lookbackS: LOOKBACK_S,
    }
  },
  subject: subjectOf,
  timeframe: (params) => params.timeframe,
  request: barsRequest,
  // Massive takes its key in the query too. A header stays out of every log of addresses between us and them.
  authorize(request, { MASSIVE_API_KEY: key }) {
    if (!key) throw new ConfigError(['MASSIVE_API_KEY: expected a value, got none'])
    return { ...request, headers: { ...request.headers, authorization: `Bearer ${key}` } }
  },
  page: barsPage,
  records: barsRecords,
})

/**
 * Massive widens both ends of a range to whole bars, and both are inclusive: a half-open window ends one millisecond
 * early. Daily bars are asked for by dates. A millisecond of 00:00Z lies in the evening before in New York, and would be
 * widened to the day before.
 *
 * The token is the millisecond at which the next page begins. `next_url` moves the first of the two and adds a cursor
 * that says limit and order again, and not whether bars are adjusted: followed literally, it leads from raw bars to
 * adjusted ones. So a later page is the same request from a later instant.
 */
function barsRequest(params: MassiveParams, { lo, hi }: Window, token: string | null): ProviderRequest {
  const spelled = params.timeframe === '1d' ? dateOf : millisecondOf
  return {
    method: 'GET',
    path: barsPath(params, token ?? spelled(lo), spelled(hi - 1n)),
    query: {
      ...(marketOf(params.symbol) === 'stock' ? { adjusted: String(params.adjustment === 'split') } : {}),
      // Newest first is for who wants the newest only: there a late bar moves all that follow it.
      sort: 'asc',
      limit: String(BASE_BARS_MAX),
    },
  }
}

function dateOf(instant: Instant): string {
  return formatDate(Number(floorTo(instant, MICROS_PER_DAY) / MICROS_PER_DAY))
}

function millisecondOf(instant: Instant): string {
  return String(floorTo(instant, MICROS_PER_MS) / MICROS_PER_MS)
}
