import { expect, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { createRecordSink, type ParsedPage } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { formatDate } from '../../shared/instant.ts'
import { massive } from '../../shared/sources/massive/massive.ts'

const BAR = '{"v":1200.5,"vw":1.875,"o":1.5,"c":2,"h":2.25,"l":1.25,"t":1577975400000,"n":17}'
type Params = {
  readonly symbol?: string
  readonly timeframe?: string
  readonly adjustment?: string
  readonly subject?: string
}

function parse(body: string, params: Params = {}): ParsedPage {
  const sink = createRecordSink(bars)
  massive.bind({ symbol: 'TSLA', timeframe: '1m', ...params }).records(new TextEncoder().encode(body), sink)
  return sink.finish()
}

function parseBars(list: readonly string[], params: Params = {}): ParsedPage {
  return parse(`{"ticker":"${params.symbol ?? 'TSLA'}","results":[${list.join(',')}]}`, params)
}

/** The bar with one field in another spelling; undefined leaves it out. */
function barWith(field: string, json: string | undefined): string {
  const fields = Object.entries(JSON.parse(BAR)).map(([name, value]) => [name, JSON.stringify(value)])
  const changed = [...fields.filter(([name]) => name !== field), ...(json === undefined ? [] : [[field, json]])]
  return `{${changed.map(([name, value]) => `"${name}":${value}`).join(',')}}`
}

function rowOf(page: ParsedPage): Record<string, unknown> {
  return Object.fromEntries(Object.entries(page.rows.columns).map(([name, values]) => [name, values[0]]))
}

const ROW = {
  ts: 1_577_975_400_000_000n,
  session_date: 18_263,
  open: 1.5,
  high: 2.25,
  low: 1.25,
  close: 2,
  volume: 1200.5,
  symbol: 'TSLA',
  timeframe: '1m',
  source: 'massive',
  adjustment: 'raw',
  trade_count: 17n,
  vwap: 1.875,
}

test('a bar of a stock becomes one row, values as the vendor gave them', () => {
  const page = parseBars([BAR])
  expect([page.records, page.rejects]).toEqual([1, []])
  expect(rowOf(page)).toEqual(ROW)
})

test('a bar of an index has prices only', () => {
  const row = rowOf(parseBars(['{"o":1.5,"c":2,"h":2.25,"l":1.25,"t":1577975400000}'], { symbol: 'I:NDX' }))
  expect(row).toEqual({ ...ROW, symbol: 'I:NDX', volume: null, trade_count: null, vwap: null })
})

test('a bar of a metal has what its quotes were counted to', () => {
  const row = rowOf(parseBars([barWith('v', '17')], { symbol: 'C:XAUUSD' }))
  expect(row).toEqual({ ...ROW, symbol: 'C:XAUUSD', volume: 17 })
})

test('the subject names the rows, and the adjustment is theirs', () => {
  const row = rowOf(parseBars([BAR], { subject: 'TSLA@split', adjustment: 'split' }))
  expect(row).toEqual({ ...ROW, symbol: 'TSLA@split', adjustment: 'split' })
})

test.each<[string, string, string | undefined, Partial<Record<keyof typeof ROW, unknown>>]>([
  ['a field that nobody knows', 'T', '"TSLA"', {}],
  ['the mark of a trade over the counter', 'otc', 'true', {}],
  ['no volume', 'v', undefined, { volume: null }],
  ['no trade count', 'n', 'null', { trade_count: null }],
  ['a volume with an exponent', 'v', '1.029145e+06', { volume: 1_029_145 }],
  ['a negative price', 'l', '-37.63', { low: -37.63 }],
  ['a trade count beyond 2^53', 'n', '9007199254740993', { trade_count: 9_007_199_254_740_993n }],
  ['a volume beyond 2^53 that a double holds', 'v', '18014398509481984', { volume: 2 ** 54 }],
  ['a time with an exponent', 't', '1.5779754e12', {}],
])('a bar with %s is a row', (_what, field, json, changed) => {
  const page = parseBars([barWith(field, json)])
  expect(page.rejects).toEqual([])
  expect(rowOf(page)).toEqual({ ...ROW, ...changed })
})

test.each<[string, string | undefined, string, string]>([
  ['o', undefined, 'missing', 'open: expected a value, got none'],
  ['c', 'null', 'missing', 'close: expected a value, got none'],
  ['o', '"1.5"', 'wrong_type', 'open: expected a number, got "1.5"'],
  ['h', 'true', 'wrong_type', 'high: expected a number, got true'],
  ['vw', '[]', 'wrong_type', 'vwap: expected a number, got an array'],
  ['o', '1e999', 'out_of_range', 'open: expected a finite number, got Infinity'],
  ['v', '9007199254740993', 'out_of_range', 'volume: expected what a double holds, got 9007199254740993'],
  ['n', '1.5', 'wrong_type', 'trade_count: expected a whole number, got 1.5'],
  ['n', '"17"', 'wrong_type', 'trade_count: expected a whole number, got "17"'],
  ['n', '9223372036854775808', 'out_of_range', 'trade_count: expected a 64-bit number, got 9223372036854775808'],
  ['t', undefined, 'missing', 'ts: expected ms since 1970, got none'],
  ['t', 'null', 'missing', 'ts: expected ms since 1970, got none'],
  ['t', '"1577975400000"', 'wrong_type', 'ts: expected ms since 1970, got "1577975400000"'],
  ['t', '1577975400000.5', 'wrong_type', 'ts: expected ms since 1970, got 1577975400000.5'],
  ['t', '9007199254740993', 'wrong_type', 'ts: expected ms since 1970, got a number'],
  ['t', '1e999', 'wrong_type', 'ts: expected ms since 1970, got Infinity'],
  ['t', '-60000', 'out_of_range', 'ts: expected ms from 1970 to 9999, got -60000'],
  ['t', '253402300800000', 'out_of_range', 'ts: expected ms from 1970 to 9999, got 253402300800000'],
  ['t', '1577975400001', 'out_of_range', 'ts: expected the start of a bar of 1m, got 1577975400001'],
  ['t', '1577975430000', 'out_of_range', 'ts: expected the start of a bar of 1m, got 1577975430000'],
])('a bar whose %s is %s is a reject, %s', (field, json, code, detail) => {
  const page = parseBars([BAR, barWith(field, json), BAR])
  expect([page.rows.rowCount, [...page.ordinals]]).toEqual([2, [0, 2]])
  expect(page.rejects.map(({ record, ...rest }) => rest)).toEqual([{ ordinal: 1, code, detail }])
})

test.each([
  ['null', 'null'],
  ['7', 'a number'],
  ['[1]', 'an array'],
])('a bar that is %s is a reject that keeps it', (json, came) => {
  const { rejects } = parseBars([json])
  const detail = `bar: expected an object, got ${came}`
  expect(rejects).toEqual([{ ordinal: 0, code: 'unreadable', detail, record: JSON.parse(json) }])
})

test('a reject keeps the record as json, long integers as their digits', () => {
  const { rejects } = parseBars(['{"t":null,"n":9007199254740993}'])
  expect(rejects[0]?.record).toEqual({ t: null, n: '9007199254740993' })
})

test.each(['{"ticker":"TSLA"}', '{"ticker":"TSLA","results":null}', '{"ticker":"TSLA","results":[]}'])(
  '%s has no records',
  (body) => {
    expect(parse(body).records).toBe(0)
  },
)

test.each([
  ['{"ticker":"AAPL","results":[]}', 'ticker: expected TSLA, got AAPL'],
  ['{"results":[]}', 'ticker: expected TSLA, got none'],
  ['{"ticker":"TSLA","results":{}}', 'results: expected an array, got an object'],
  ['{"ticker":"TSLA","results":[', 'expected a json object, got json that was cut (28 bytes)'],
])('stored bytes that are no page are a contract error: %s', (body, message) => {
  expect(() => parse(body)).toThrow(new ContractError(message))
})

// The days before and after both switches of 2023, and the turn of a year. Indices as Massive's samples have them, at
// midnight in Chicago, or in New York.
test.each([
  ['TSLA', '2023-03-10T05:00:00Z', '2023-03-10'],
  ['TSLA', '2023-03-13T04:00:00Z', '2023-03-13'],
  ['TSLA', '2023-11-03T04:00:00Z', '2023-11-03'],
  ['TSLA', '2023-11-06T05:00:00Z', '2023-11-06'],
  ['TSLA', '2021-12-31T05:00:00Z', '2021-12-31'],
  ['I:NDX', '2023-03-09T06:00:00Z', '2023-03-09'],
  ['I:NDX', '2023-06-20T05:00:00Z', '2023-06-20'],
  ['I:NDX', '2023-06-20T04:00:00Z', '2023-06-20'],
  ['C:XAUUSD', '2021-07-22T00:00:00Z', '2021-07-22'],
  ['C:XAUUSD', '2021-12-31T00:00:00Z', '2021-12-31'],
])('a daily bar of %s at %s is of %s, at 00:00Z of it', (symbol, at, date) => {
  const page = parseBars([barWith('t', String(Date.parse(at)))], { symbol, timeframe: '1d' })
  expect(page.rejects).toEqual([])
  const { ts, session_date: sessionDate } = rowOf(page)
  expect(formatDate(sessionDate as number)).toBe(date)
  expect(ts).toBe(BigInt(Date.parse(date)) * 1_000n)
})

test.each([
  ['TSLA', '2023-03-10T00:00:00.000Z', '04:00Z or 05:00Z'],
  ['TSLA', '2023-03-10T06:00:00.000Z', '04:00Z or 05:00Z'],
  ['TSLA', '2023-03-10T21:00:00.000Z', '04:00Z or 05:00Z'],
  ['I:NDX', '2023-03-10T00:00:00.000Z', '04:00Z or 05:00Z or 06:00Z'],
  ['C:XAUUSD', '2023-03-10T05:00:00.000Z', '00:00Z'],
  ['C:XAUUSD', '2023-03-10T00:00:00.001Z', '00:00Z'],
])('a daily bar of %s at %s is a reject', (symbol, at, expected) => {
  const { rejects } = parseBars([barWith('t', String(Date.parse(at)))], { symbol, timeframe: '1d' })
  const detail = `ts: expected the start of a day, ${expected}, got ${at}`
  expect(rejects).toMatchObject([{ code: 'out_of_range', detail }])
})

test.each([
  ['pre-market in summer', 'TSLA', '2020-07-02T08:00:00Z', '2020-07-02'],
  ['the last minute of post-market in winter', 'TSLA', '2020-01-03T00:59:00Z', '2020-01-02'],
  ['the last minute of post-market in summer', 'TSLA', '2020-07-02T23:59:00Z', '2020-07-02'],
  ['an index that begins at 02:30 in winter', 'I:NDX', '2020-01-02T07:30:00Z', '2020-01-02'],
  ['the first minute of a day of gold', 'C:XAUUSD', '2020-01-02T00:00:00Z', '2020-01-02'],
  ['the last minute of a day of gold', 'C:XAUUSD', '2020-01-02T23:59:00Z', '2020-01-02'],
])('the session of %s (%s at %s) is %s', (_what, symbol, at, date) => {
  const row = rowOf(parseBars([barWith('t', String(Date.parse(at)))], { symbol }))
  expect(formatDate(row.session_date as number)).toBe(date)
})

test.each([
  ['5m', '2020-01-02T14:35:00Z', '2020-01-02T14:31:00Z'],
  ['15m', '2020-01-02T14:45:00Z', '2020-01-02T14:35:00Z'],
  ['1h', '2020-01-02T14:00:00Z', '2020-01-02T14:30:00Z'],
])('a bar of %s may begin at %s, not at %s', (timeframe, good, bad) => {
  const page = parseBars(
    [good, bad].map((at) => barWith('t', String(Date.parse(at)))),
    { timeframe },
  )
  expect([page.rows.rowCount, page.rejects.map(({ ordinal }) => ordinal)]).toEqual([1, [1]])
})
