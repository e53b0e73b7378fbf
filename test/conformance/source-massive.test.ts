import { revisedSeries } from '../../jobs/local/providers/bar-series.ts'
import { startMassiveSimulator } from '../../jobs/local/providers/massive.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { describeSource } from './source.ts'

const KEY = 'good-key'
/** The third minute of the stream. */
const LATE_BAR_S = Date.parse('2019-07-31T13:32:00Z') / 1_000
/** Two sessions of 390 minutes, one in each of two months. */
const TWO_SESSIONS = {
  source: 'massive',
  dataset: 'bars',
  params: { symbol: 'TSLA', timeframe: '1m' },
  origin: '2019-07-31',
  until: '2019-08-02',
  every: '15m',
}

// A bar is named by its symbol and its instant, so no two of a stream tie.
describeSource({
  name: 'massive',
  start: ({ faults = [], pageRecords, isLate = () => false, checksCredentials = false }) =>
    startMassiveSimulator({
      series: ['TSLA', 'I:NDX'].map((symbol) =>
        revisedSeries(loadSp500(symbol), (bar) => (bar.atS === LATE_BAR_S && isLate() ? undefined : bar)),
      ),
      faults,
      limits: { requestsPerMinute: 1_000, ...(pageRecords === undefined ? {} : { baseBarsGiven: pageRecords }) },
      ...(checksCredentials ? { key: KEY } : {}),
    }),
  settings: (url) => ({ MASSIVE_BASE_URL: url, MASSIVE_API_KEY: KEY }),
  wrongCredentials: { MASSIVE_API_KEY: 'expired-key' },
  stream: TWO_SESSIONS,
  records: 780,
  otherStream: { ...TWO_SESSIONS, params: { symbol: 'I:NDX', timeframe: '1m' } },
  nextUntil: '2019-08-03',
  emptyStream: { ...TWO_SESSIONS, origin: '2019-07-04', until: '2019-07-05' },
  // Each is the very instant of a bar, which belongs to the window that begins with it.
  checkpoints: [
    ['2019-07-31T15:00:00Z', 690],
    ['2019-08-01T13:30:00Z', 390],
    ['2019-08-01T19:59:00Z', 1],
  ],
  pageRecords: 300,
  hidden: {
    throttled: [
      '{"status":"ERROR","request_id":"1","error":"You\'ve exceeded the maximum requests per minute, please wait."}',
      "expected bars, got http 200 with ERROR: You've exceeded the maximum requests per minute, please wait.",
    ],
    unavailable: [
      '{"status":"ERROR","request_id":"1","error":"internal server error"}',
      'expected bars, got http 200 with ERROR: internal server error',
    ],
    auth: [
      '{"status":"NOT_AUTHORIZED","request_id":"1","message":"You are not entitled to this data."}',
      'expected bars, got http 200 with NOT_AUTHORIZED: You are not entitled to this data.',
    ],
  },
  noPages: [
    ['{"ticker":"TSLA","adjusted":false,"resultsCount":0}', 'status: expected OK or DELAYED, got none'],
    ['{"status":"OK","ticker":"AAPL","adjusted":false,"resultsCount":0}', 'ticker: expected TSLA, got "AAPL"'],
    ['{"status":"OK","ticker":"TSLA","adjusted":true,"resultsCount":0}', 'adjusted: expected false, got true'],
    ['{"status":"OK","ticker":"TSLA","adjusted":false}', 'resultsCount: expected a whole number, got none'],
    [
      '{"status":"OK","ticker":"TSLA","adjusted":false,"resultsCount":0,"next_url":"https://elsewhere.test/v2/aggs/ticker/TSLA/range/1/minute/1564576200000/1564617600000"}',
      'next_url: expected https://api.massive.com or https://api.polygon.io, got https://elsewhere.test',
    ],
    ['[]', 'expected a json object, got an array (application/json; charset=UTF-8, 2 bytes)'],
  ],
  fields: [
    [{ change: 'drop', field: 'c' }, { reject: 'missing close: expected a value, got none' }],
    [{ change: 'rename', field: 'o' }, { reject: 'missing open: expected a value, got none' }],
    [{ change: 'null', field: 't' }, { reject: 'missing ts: expected ms since 1970, got none' }],
    [{ change: 'string', field: 't' }, { reject: 'wrong_type ts: expected ms since 1970, got "1564580220000"' }],
    [{ change: 'string', field: 'h' }, { reject: 'wrong_type high: expected a number, got "3017.399902"' }],
    [
      { change: 'huge', field: 'v' },
      { reject: 'out_of_range volume: expected what a double holds, got 9007199254740993' },
    ],
    [
      { change: 'huge', field: 'n' },
      { column: 'trade_count', value: '9007199254740993' },
    ],
    [
      { change: 'drop', field: 'vw' },
      { column: 'vwap', value: 'null' },
    ],
    [
      { change: 'null', field: 'v' },
      { column: 'volume', value: 'null' },
    ],
  ],
})
