import { observations } from '../../datasets/observations.ts'
import { ConfigError } from '../../errors.ts'
import { floorTo, formatDate, type Instant, MICROS_PER_DAY } from '../../instant.ts'
import { defineSource, type ProviderRequest, type Window } from '../contract.ts'
import { observationsPage } from './page.ts'
import { type FredParams, fredParams, subjectOf } from './params.ts'
import { observationsRecords } from './records.ts'

const DAY_S = 86_400

/**
 * H.15, the daily release of yields, comes one business day late, at about 16:15 in New York. A Friday before a Monday
 * without business is known on Tuesday by 21:15Z, 3 days and 21 hours after its interval has ended. A shorter lag would
 * ask on that Monday, get a complete answer without the day, and never ask again.
 *
 * Of daily series: a monthly one is published weeks after the date that names it, and its streams set a `settleLag` of
 * their own.
 */
const SETTLE_LAG_S = 4 * DAY_S

/**
 * Daily series are corrected within weeks; a month of them is one page. Monthly and quarterly ones are revised for
 * years, and their streams set a `lookback` of their own.
 */
const LOOKBACK_S = 31 * DAY_S

/** 25 years: at most 9,131 daily observations, a tenth of a page and 0.9 MB, in 26 files. */
const WINDOW_DAYS_MAX = 9_131

/** The largest that is allowed. */
const PAGE_RECORDS_MAX = 100_000

/** Series of the Federal Reserve Bank of St. Louis, https://fred.stlouisfed.org/docs/api/fred/series_observations.html. */
export const fred = defineSource<FredParams>({
  id: 'fred',
  dataset: observations,
  params: fredParams,
  transformVersion: 1,
  baseUrl: 'https://api.stlouisfed.org',
  credentials: ['FRED_API_KEY'],
  // The limits are 2 requests in any second and 120 in any minute. Three tokens span at least (3 - 1.2) / 1.25 = 1.44 s,
  // so a network that delays some requests and not others has 0.44 s of room. A minute has at most 1.2 + 60 x 1.25 = 76;
  // the other 44 are for what the bucket does not see, tries after a 5xx. The fifth above one is what a backfill leaves,
  // 0.16 s in which only live may take a token: with a capacity of one, luck alone would decide between the two.
  budget: { key: 'fred', capacity: 1.2, refillPerS: 1.25 },
  // One page holds the largest window ten times over. More than one comes only where FRED lowers its limit.
  pagesMax: 32,
  // 100,000 observations have about 95 bytes each.
  bodyBytesMax: 16 * 1024 * 1024,
  consistency: () => ({
    granularityS: DAY_S,
    settleLagS: SETTLE_LAG_S,
    maxWindowS: WINDOW_DAYS_MAX * DAY_S,
    lookbackS: LOOKBACK_S,
  }),
  subject: subjectOf,
  request: observationsRequest,
  // FRED takes its key in the query only. The request that is named in messages, logs and fingerprints is the one before.
  authorize(request, { FRED_API_KEY: key }) {
    if (!key) throw new ConfigError(['FRED_API_KEY: expected a value, got none'])
    return { ...request, query: { ...request.query, api_key: key } }
  },
  page: observationsPage,
  records: observationsRecords,
})

/**
 * FRED's dates are both inclusive, so a half-open window of whole days ends with the day before `hi`.
 *
 * The token is a date: the next page begins there, at offset 0. FRED's own way, an offset into the sorted answer, is
 * not taken. Between two pages an observation may appear or go before the offset; then the rest has moved, and an
 * observation is missed that was there all the time. A date has one observation, so dates cannot move.
 */
function observationsRequest(params: FredParams, { lo, hi }: Window, token: string | null): ProviderRequest {
  return {
    method: 'GET',
    path: '/fred/series/observations',
    query: {
      series_id: params.series_id,
      file_type: 'json',
      observation_start: token ?? dateOf(lo),
      observation_end: dateOf(hi - 1n),
      sort_order: 'asc',
      limit: String(PAGE_RECORDS_MAX),
      offset: '0',
      units: params.units,
    },
  }
}

function dateOf(instant: Instant): string {
  return formatDate(Number(floorTo(instant, MICROS_PER_DAY) / MICROS_PER_DAY))
}
