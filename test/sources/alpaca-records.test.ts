import { expect, test } from 'vitest'
import { bars } from '../../shared/datasets/bars.ts'
import { createRecordSink, type ParsedPage } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'

const BAR = '{"t":"2020-01-02T14:30:00Z","o":1.5,"h":2.25,"l":1.25,"c":2,"v":1200,"n":17,"vw":1.875}'

function parse(body: string, params: Record<string, unknown> = {}): ParsedPage {
  const sink = createRecordSink(bars)
  alpaca.bind({ symbol: 'TSLA', timeframe: '1m', ...params }).records(new TextEncoder().encode(body), sink)
  return sink.finish()
}

function parseBars(list: readonly string[], params: Record<string, unknown> = {}): ParsedPage {
  return parse(`{"bars":{"TSLA":[${list.join(',')}]},"next_page_token":null}`, params)
}

/** The bar with one field in another spelling: `with('n', '1.5')`; undefined leaves it out. */
function barWith(field: string, json: string | undefined): string {
  const fields = Object.entries(JSON.parse(BAR)).map(([name, value]) => [name, JSON.stringify(value)])
  const changed = [...fields.filter(([name]) => name !== field), ...(json === undefined ? [] : [[field, json]])]
  return `{${changed.map(([name, value]) => `"${name}":${value}`).join(',')}}`
}

function rowOf(page: ParsedPage, row = 0): Record<string, unknown> {
  return Object.fromEntries(Object.entries(page.rows.columns).map(([name, values]) => [name, values[row]]))
}

const ROW = {
  ts: 1_577_975_400_000_000n,
  session_date: 18_263,
  open: 1.5,
  high: 2.25,
  low: 1.25,
  close: 2,
  volume: 1200,
  symbol: 'TSLA',
  timeframe: '1m',
  source: 'alpaca',
  adjustment: 'raw',
  trade_count: 17n,
  vwap: 1.875,
}

test('a bar becomes one row, values as the vendor gave them', () => {
  const page = parseBars([BAR])
  expect([page.records, page.rejects]).toEqual([1, []])
  expect(rowOf(page)).toEqual(ROW)
})

test('the subject names the rows, and the adjustment is theirs', () => {
  const row = rowOf(parseBars([BAR], { subject: 'TSLA@split', adjustment: 'split' }))
  expect(row).toEqual({ ...ROW, symbol: 'TSLA@split', adjustment: 'split' })
})

test.each<[string, string, string | undefined, Partial<typeof ROW> | { [column: string]: unknown }]>([
  ['a field that nobody knows', 'x', '{"deep":[9007199254740993]}', {}],
  ['no volume', 'v', undefined, { volume: null }],
  ['a volume of null', 'v', 'null', { volume: null }],
  ['no trade count', 'n', undefined, { trade_count: null }],
  ['no vwap', 'vw', 'null', { vwap: null }],
  ['a volume with an exponent', 'v', '1.2e3', { volume: 1200 }],
  ['a negative price', 'l', '-37.63', { low: -37.63 }],
  ['a trade count beyond 2^53', 'n', '9007199254740993', { trade_count: 9_007_199_254_740_993n }],
  ['a volume beyond 2^53 that a double holds', 'v', '18014398509481984', { volume: 2 ** 54 }],
  ['a numeric offset instead of Z', 't', '"2020-01-02T09:30:00-05:00"', {}],
])('a bar with %s is a row', (_what, field, json, changed) => {
  const page = parseBars([barWith(field, json)])
  expect(page.rejects).toEqual([])
  expect(rowOf(page)).toEqual({ ...ROW, ...changed })
})

test.each<[string, string | undefined, string, string]>([
  ['o', undefined, 'missing', 'open: expected a value, got none'],
  ['c', 'null', 'missing', 'close: expected a value, got none'],
  ['t', undefined, 'missing', 'ts: expected an instant, got none'],
  ['t', 'null', 'missing', 'ts: expected an instant, got none'],
  ['o', '"1.5"', 'wrong_type', 'open: expected a number, got "1.5"'],
  ['v', '"1200"', 'wrong_type', 'volume: expected a number, got "1200"'],
  ['h', 'true', 'wrong_type', 'high: expected a number, got true'],
  ['l', '{"a":9007199254740993}', 'wrong_type', 'low: expected a number, got an object'],
  ['vw', '[]', 'wrong_type', 'vwap: expected a number, got an array'],
  ['n', '1.5', 'wrong_type', 'trade_count: expected a whole number, got 1.5'],
  ['n', '1.2345678901234567e17', 'wrong_type', 'trade_count: expected a whole number, got 123456789012345660'],
  ['n', '"17"', 'wrong_type', 'trade_count: expected a whole number, got "17"'],
  ['n', '9223372036854775808', 'out_of_range', 'trade_count: expected a 64-bit number, got 9223372036854775808'],
  ['v', '9007199254740993', 'out_of_range', 'volume: expected what a double holds, got 9007199254740993'],
  ['o', '1e999', 'out_of_range', 'open: expected a finite number, got Infinity'],
  ['t', '"yesterday"', 'unreadable', 'ts: expected an rfc 3339 instant, got "yesterday"'],
  ['t', '"2020-02-30T14:30:00Z"', 'unreadable', 'ts: expected an rfc 3339 instant, got "2020-02-30T14:30:00Z"'],
  ['t', '"2020-01-02T24:30:00Z"', 'unreadable', 'ts: expected an rfc 3339 instant, got "2020-01-02T24:30:00Z"'],
  ['t', '"2020-01-02T14:30:0xZ"', 'unreadable', 'ts: expected an rfc 3339 instant, got "2020-01-02T14:30:0xZ"'],
  ['t', '"2020-01-02"', 'unreadable', 'ts: expected an rfc 3339 instant, got "2020-01-02"'],
  ['t', '1577975400', 'wrong_type', 'ts: expected an rfc 3339 instant, got 1577975400'],
  ['t', '"2020-01-02T14:30:01Z"', 'out_of_range', 'ts: expected the start of a bar of 1m, got "2020-01-02T14:30:01Z"'],
  [
    't',
    '"2020-01-02T14:30:00.5Z"',
    'out_of_range',
    'ts: expected the start of a bar of 1m, got "2020-01-02T14:30:00.5Z"',
  ],
])('a bar whose %s is %s is a reject, %s', (field, json, code, detail) => {
  const page = parseBars([BAR, barWith(field, json), BAR])
  expect([page.rows.rowCount, [...page.ordinals]]).toEqual([2, [0, 2]])
  expect(page.rejects.map(({ record, ...rest }) => rest)).toEqual([{ ordinal: 1, code, detail }])
})

test.each([
  ['null', 'null'],
  ['7', 'a number'],
  ['"bar"', 'a string'],
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

test('a reject can be stored however deep its record is', () => {
  const deep = `{"o":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
  expect(JSON.stringify(parseBars([deep]).rejects[0]?.record)).toBe('{"o":[[[[[[["…"]]]]]]]}')
})

test('a symbol without bars has no records', () => {
  expect(parse('{"bars":{"TSLA":null},"next_page_token":null}').records).toBe(0)
  expect(parse('{"bars":{},"next_page_token":null}').records).toBe(0)
})

test.each([
  ['{"bars":{"AAPL":[]}}', 'bars: expected only TSLA, got AAPL'],
  ['{"bars":{"TSLA":7}}', 'bars of TSLA: expected an array, got a number'],
  ['{"bars":null}', 'bars: expected an object, got null'],
  ['{"bars":{"TSLA":[', 'expected a json object, got json that was cut (17 bytes)'],
])('stored bytes that are no page are a contract error: %s', (body, message) => {
  expect(() => parse(body)).toThrow(new ContractError(message))
})

test.each([
  ['2020-01-02T05:00:00Z', undefined],
  ['2020-07-02T04:00:00Z', undefined],
  ['2020-01-02T00:00:00Z', 'ts: expected midnight in new york, 04:00Z or 05:00Z, got "2020-01-02T00:00:00Z"'],
  ['2020-01-02T14:30:00Z', 'ts: expected midnight in new york, 04:00Z or 05:00Z, got "2020-01-02T14:30:00Z"'],
])('a daily bar at %s: %s', (t, detail) => {
  const page = parseBars([barWith('t', JSON.stringify(t))], { timeframe: '1d' })
  expect(page.rejects[0]?.detail).toBe(detail)
})

test.each([
  ['pre-market', 'iex', '2020-01-02T09:00:00Z', 18_263],
  ['the last minute of post-market in winter', 'sip', '2020-01-03T00:59:00Z', 18_263],
  ['the last minute of post-market in summer', 'sip', '2020-07-02T23:59:00Z', 18_445],
  ['the first minute of a night session in winter', 'overnight', '2020-01-03T01:00:00Z', 18_264],
  ['the first minute of a night session in summer', 'boats', '2020-07-03T00:00:00Z', 18_446],
  ['the last minute of a night session in winter', 'boats', '2020-01-03T08:59:00Z', 18_264],
])('the session of %s (%s, %s) is %i', (_what, feed, t, date) => {
  expect(rowOf(parseBars([barWith('t', JSON.stringify(t))], { feed })).session_date).toBe(date)
})
