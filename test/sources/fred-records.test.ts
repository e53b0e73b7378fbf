import { expect, test } from 'vitest'
import { observations } from '../../shared/datasets/observations.ts'
import { createRecordSink, type ParsedPage } from '../../shared/datasets/record-sink.ts'
import { ContractError } from '../../shared/errors.ts'
import { fred } from '../../shared/sources/fred/fred.ts'

function parse(body: string, params: Record<string, unknown> = {}): ParsedPage {
  const sink = createRecordSink(observations)
  fred.bind({ series_id: 'DGS10', ...params }).records(new TextEncoder().encode(body), sink)
  return sink.finish()
}

const OBSERVATION = { realtime_start: '2026-03-02', realtime_end: '2026-03-02', date: '2020-01-02', value: '1.88' }

/** A page of observations, each given by what differs, as JSON text. */
function parseList(list: readonly Readonly<Record<string, string | undefined>>[], params = {}): ParsedPage {
  const texts = list.map((changes) => {
    const good = Object.entries(OBSERVATION).map(([name, value]) => [name, JSON.stringify(value)] as const)
    const all: [string, string | undefined][] = Object.entries({ ...Object.fromEntries(good), ...changes })
    return `{${all.flatMap(([name, text]) => (text === undefined ? [] : [`"${name}":${text}`])).join(',')}}`
  })
  return parse(`{"observations":[${texts.join(',')}]}`, params)
}

function rowOf(page: ParsedPage, row = 0): Record<string, unknown> {
  return Object.fromEntries(Object.entries(page.rows.columns).map(([name, values]) => [name, values[row]]))
}

const ROW = {
  ts: 1_577_923_200_000_000n,
  observation_date: 18_263,
  value: 1.88,
  symbol: 'DGS10',
  source: 'fred',
  units: 'lin',
}

test('an observation becomes one row, at 00:00Z of its date', () => {
  const page = parseList([{}])
  expect([page.records, page.rejects, rowOf(page)]).toEqual([1, [], ROW])
})

test('the vintage is no part of the row: equal values of two days are equal rows', () => {
  const page = parseList([{ realtime_start: '"1776-07-04"', realtime_end: '"9999-12-31"' }])
  expect(rowOf(page)).toEqual(ROW)
})

test('the subject names the rows, and the units are those that were asked for', () => {
  const row = rowOf(parseList([{}], { units: 'chg', subject: 'DGS10@chg' }))
  expect(row).toEqual({ ...ROW, symbol: 'DGS10@chg', units: 'chg' })
})

test('a dot is a row without a value, not a reject', () => {
  const page = parseList([{}, { date: '"2020-01-20"', value: '"."' }])
  expect(page.rejects).toEqual([])
  expect([...(page.rows.columns.value ?? [])]).toEqual([1.88, null])
})

test.each<[string, number]>([
  ['4131.15', 4131.15],
  ['-0.25', -0.25],
  ['0', 0],
  ['.5', 0.5],
  ['5.', 5],
  ['1.2e-05', 0.000012],
  ['1E3', 1000],
  ['9007199254740992', 2 ** 53],
  ['0.1234567890123456789', 0.12345678901234568],
])('the value %j is %d', (value, number) => {
  const page = parseList([{ value: JSON.stringify(value) }])
  expect([page.rejects, rowOf(page).value]).toEqual([[], number])
})

test.each(['', ' ', '1,234.5', '1 234', '+1', '0x10', '1e', 'NaN', 'Infinity', '-', '..', '-.', '1.5 ', '١'])(
  'the value %j is a reject, and its neighbours are rows',
  (value) => {
    const page = parseList([{}, { value: JSON.stringify(value) }, { date: '"2020-01-03"' }])
    const detail = `value: expected a number as text or ".", got ${JSON.stringify(value)}`
    expect([[...page.ordinals], page.rejects]).toMatchObject([[0, 2], [{ ordinal: 1, code: 'unreadable', detail }]])
  },
)

test.each<[string, string | undefined, string, string]>([
  ['value', undefined, 'missing', 'value: expected a number as text or ".", got none'],
  ['value', 'null', 'missing', 'value: expected a number as text or ".", got none'],
  ['value', '1.88', 'wrong_type', 'value: expected a number as text or ".", got 1.88'],
  ['value', '9007199254740993', 'wrong_type', 'value: expected a number as text or ".", got a number'],
  ['value', '"9007199254740993"', 'out_of_range', 'value: expected what a double holds, got "9007199254740993"'],
  ['value', '"1e999"', 'out_of_range', 'value: expected what a double holds, got "1e999"'],
  ['date', undefined, 'missing', 'observation_date: expected a date, got none'],
  ['date', '"2020-02-30"', 'unreadable', 'observation_date: expected a date, got "2020-02-30"'],
  ['date', '"2020-01-02T00:00:00Z"', 'unreadable', 'observation_date: expected a date, got "2020-01-02T00:00:00Z"'],
  ['date', '20200102', 'wrong_type', 'observation_date: expected a date, got 20200102'],
])('an observation whose %s is %s is a reject, %s', (field, json, code, detail) => {
  const page = parseList([{}, { [field]: json }, {}])
  expect([...page.ordinals]).toEqual([0, 2])
  expect(page.rejects.map(({ record, ...rest }) => rest)).toEqual([{ ordinal: 1, code, detail }])
})

test.each([
  ['null', 'null'],
  ['7', 'a number'],
  ['[1]', 'an array'],
])('an observation that is %s is a reject that keeps it', (json, came) => {
  const detail = `observation: expected an object, got ${came}`
  const { rejects } = parse(`{"observations":[${json}]}`)
  expect(rejects).toEqual([{ ordinal: 0, code: 'unreadable', detail, record: JSON.parse(json) }])
})

test('a field that nobody knows changes nothing', () => {
  expect(rowOf(parseList([{ footnote: '{"deep":[9007199254740993]}' }]))).toEqual(ROW)
})

test.each([
  ['{"observations":null}', 'observations: expected an array, got null'],
  ['{"observations":[', 'expected a json object, got json that was cut (17 bytes)'],
  ['<observations/>', 'expected a json object, got markup (15 bytes)'],
])('stored bytes that are no page are a contract error: %s', (body, message) => {
  expect(() => parse(body)).toThrow(new ContractError(message))
})
