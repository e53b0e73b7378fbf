import { startAlpacaSimulator } from '../../jobs/local/providers/alpaca.ts'
import { revisedSeries } from '../../jobs/local/providers/bar-series.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { describeSource } from './source.ts'

const KEYS = { id: 'good-key-id', secret: 'good-secret-key' }
/** The third minute of the stream. */
const LATE_BAR_S = Date.parse('2019-07-31T13:32:00Z') / 1_000
/** Two sessions of 390 minutes, one in each of two months. */
const TWO_SESSIONS = {
  source: 'alpaca',
  dataset: 'bars',
  params: { symbol: 'SPX', timeframe: '1m' },
  origin: '2019-07-31',
  until: '2019-08-02',
  every: '15m',
}

// A bar is named by its symbol and its instant, so no two of a stream tie.
describeSource({
  name: 'alpaca',
  start: ({ faults = [], pageRecords, isLate = () => false, checksCredentials = false }) =>
    startAlpacaSimulator({
      series: ['SPX', 'OTHER'].map((symbol) =>
        revisedSeries(loadSp500(symbol), (bar) => (bar.atS === LATE_BAR_S && isLate() ? undefined : bar)),
      ),
      faults,
      ...(pageRecords === undefined ? {} : { limits: { pageRecordsGiven: pageRecords } }),
      ...(checksCredentials ? { keys: KEYS } : {}),
    }),
  settings: (url) => ({ ALPACA_BASE_URL: url, ALPACA_KEY_ID: KEYS.id, ALPACA_SECRET_KEY: KEYS.secret }),
  wrongCredentials: { ALPACA_SECRET_KEY: 'expired-secret-key' },
  stream: TWO_SESSIONS,
  records: 780,
  otherStream: { ...TWO_SESSIONS, params: { symbol: 'OTHER', timeframe: '1m' } },
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
      '{"code":42910000,"message":"too many requests."}',
      'expected bars, got http 200 with code 42910000: too many requests.',
    ],
    unavailable: [
      '{"code":50010000,"message":"internal server error"}',
      'expected bars, got http 200 with code 50010000: internal server error',
    ],
    auth: ['{"code":40310000,"message":"forbidden."}', 'expected bars, got http 200 with code 40310000: forbidden.'],
  },
  noPages: [
    ['{"next_page_token":null}', 'bars: expected an object, got none'],
    ['{"bars":{"SPX":[]},"nextPageToken":null}', 'next_page_token: expected a token or null, got none'],
    ['{"bars":{"AAPL":[{}]},"next_page_token":null}', 'bars: expected only SPX, got AAPL'],
    ['[]', 'expected a json object, got an array (application/json; charset=UTF-8, 2 bytes)'],
  ],
  fields: [
    [{ change: 'drop', field: 'c' }, { reject: 'missing close: expected a value, got none' }],
    [{ change: 'rename', field: 'o' }, { reject: 'missing open: expected a value, got none' }],
    [{ change: 'null', field: 't' }, { reject: 'missing ts: expected an instant, got none' }],
    [{ change: 'null', field: 'l' }, { reject: 'missing low: expected a value, got none' }],
    [{ change: 'huge', field: 't' }, { reject: 'wrong_type ts: expected an rfc 3339 instant, got a number' }],
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
