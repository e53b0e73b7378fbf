import { startFredSimulator } from '../../jobs/local/providers/fred.ts'
import { loadObservationSeries } from '../../jobs/local/providers/observation-series.ts'
import { parseDate } from '../../shared/instant.ts'
import { describeSource } from './source.ts'

const KEY = 'good0key0good0key0good0key0good0'
/** The third day of the stream. */
const LATE_DATE = parseDate('2018-12-05')
/** A day in FRED's calendar names the vintage of every row: these tests begin at its noon, so that none sees it change. */
const startedMs = Date.now()
const now = () => Date.parse('2026-03-02T18:00:00Z') + (Date.now() - startedMs)

/** 44 weekdays in two years; four of them are holidays, rows without a value. */
const TWO_MONTHS = {
  source: 'fred',
  dataset: 'observations',
  params: { series_id: 'DGS10' },
  origin: '2018-12-03',
  until: '2019-02-01',
  every: '1h',
}

// A series has one observation a date, so no two of a stream tie.
describeSource({
  name: 'fred',
  start: ({ faults = [], pageRecords, isLate = () => false, checksCredentials = false }) =>
    startFredSimulator({
      now,
      series: loadObservationSeries().map(({ id, between }) => ({
        id,
        between: (from, to) => between(from, to).filter(({ date }) => !(date === LATE_DATE && isLate())),
      })),
      faults,
      limits: {
        requestsPerSecond: 1_000,
        requestsPerMinute: 10_000,
        ...(pageRecords === undefined ? {} : { pageRecordsGiven: pageRecords }),
      },
      ...(checksCredentials ? { key: KEY } : {}),
    }),
  settings: (url) => ({ FRED_BASE_URL: url, FRED_API_KEY: KEY }),
  wrongCredentials: { FRED_API_KEY: 'expired0key0expired0key0expired0' },
  stream: TWO_MONTHS,
  records: 44,
  otherStream: { ...TWO_MONTHS, params: { series_id: 'NASDAQCOM' } },
  nextUntil: '2019-02-02',
  emptyStream: { ...TWO_MONTHS, origin: '2019-01-05', until: '2019-01-07' },
  checkpoints: [
    ['2018-12-24T00:00:00Z', 29],
    ['2019-01-01T00:00:00Z', 23],
    ['2019-01-31T00:00:00Z', 1],
  ],
  pageRecords: 20,
  hidden: {
    throttled: [
      '{"error_code":429,"error_message":"Too Many Requests.  Exceeded Rate Limit"}',
      'expected observations, got http 200 with error_code 429: Too Many Requests. Exceeded Rate Limit',
    ],
    unavailable: [
      '{"error_code":500,"error_message":"Internal Server Error"}',
      'expected observations, got http 200 with error_code 500: Internal Server Error',
    ],
    auth: [
      '{"error_code":400,"error_message":"Bad Request.  The value for variable api_key is not registered."}',
      'expected observations, got http 200 with error_code 400: Bad Request. The value for variable api_key is not registered.',
    ],
  },
  noPages: [
    ['{"count":0}', 'observations: expected an array, got none'],
    ['{"units":"chg","count":0,"offset":0,"limit":1,"observations":[]}', 'units: expected lin, got "chg"'],
    ['{"units":"lin","offset":0,"limit":1,"observations":[]}', 'count: expected a whole number, got none'],
    ['[]', 'expected a json object, got an array (application/json; charset=UTF-8, 2 bytes)'],
    [
      '<?xml version="1.0" encoding="utf-8" ?><observations/>',
      'expected a json object, got markup (application/json; charset=UTF-8, 54 bytes)',
    ],
  ],
  fields: [
    [{ change: 'drop', field: 'value' }, { reject: 'missing value: expected a number as text or ".", got none' }],
    [
      { change: 'huge', field: 'value' },
      { reject: 'wrong_type value: expected a number as text or ".", got a number' },
    ],
    [{ change: 'null', field: 'value' }, { reject: 'missing value: expected a number as text or ".", got none' }],
    [{ change: 'null', field: 'date' }, { reject: 'missing observation_date: expected a date, got none' }],
    [{ change: 'huge', field: 'date' }, { reject: 'wrong_type observation_date: expected a date, got a number' }],
    [{ change: 'rename', field: 'date' }, { reject: 'missing observation_date: expected a date, got none' }],
  ],
})
