import { expect, test } from 'vitest'
import type { PageVerdict } from '../../shared/sources/contract.ts'
import { fred } from '../../shared/sources/fred/fred.ts'

const bound = fred.bind({ series_id: 'DGS10' })
const JSON_TYPE = { 'content-type': 'application/json' }

function judge(body: string, status = 200, headers: Record<string, string> = JSON_TYPE): PageVerdict {
  return bound.page({ status, headers, body: new TextEncoder().encode(body) })
}

/** A page as FRED sends it, but for the fields that are given; undefined leaves one out. */
function pageOf(dates: readonly unknown[], changes: Readonly<Record<string, unknown>> = {}): string {
  const observations = dates.map((date) => ({
    realtime_start: '2026-03-02',
    realtime_end: '2026-03-02',
    date,
    value: '1',
  }))
  return JSON.stringify({ units: 'lin', count: dates.length, offset: 0, limit: 100_000, observations, ...changes })
}

const DATES = ['2020-01-30', '2020-01-31', '2020-02-29']

test('a page that holds all that the request has is the last', () => {
  expect(judge(pageOf(DATES))).toEqual({ kind: 'page', records: 3, next: null })
})

test('no observations of none are a complete answer', () => {
  expect(judge(pageOf([]))).toEqual({ kind: 'page', records: 0, next: null })
})

test('after a full page the next begins on the day that follows its last date', () => {
  expect(judge(pageOf(DATES, { limit: 3, count: 7 }))).toEqual({ kind: 'page', records: 3, next: '2020-03-01' })
})

test('an observation without a date does not stop the chain: it is a reject later', () => {
  const page = pageOf(['2020-01-30', null, 'soon', '2020-01-31'], { limit: 4, count: 7 })
  expect(judge(page)).toEqual({ kind: 'page', records: 4, next: '2020-02-01' })
})

test.each([
  ['fewer than count', pageOf(DATES, { count: 7 }), 'observations: expected 7 of 7, got 3'],
  ['fewer than the limit', pageOf(DATES, { count: 7, limit: 5 }), 'observations: expected 5 of 7, got 3'],
  ['none of some', pageOf([], { count: 7 }), 'observations: expected 7 of 7, got 0'],
])('%s is an answer that another time may be whole', (_what, page, detail) => {
  expect(judge(page)).toEqual({ kind: 'unavailable', detail })
})

test.each([
  [pageOf(DATES, { count: 2 }), 'observations: expected 2 of 2, got 3'],
  [pageOf(DATES, { count: 7, limit: 2 }), 'observations: expected 2 of 7, got 3'],
  [pageOf(DATES, { count: undefined }), 'count: expected a whole number, got none'],
  [pageOf(DATES, { count: '3' }), 'count: expected a whole number, got "3"'],
  [pageOf(DATES, { count: -1 }), 'count: expected a whole number, got -1'],
  [pageOf(DATES, { limit: undefined }), 'limit: expected a whole number above 0, got none'],
  [pageOf([], { limit: 0, count: 7 }), 'limit: expected a whole number above 0, got 0'],
  [pageOf(DATES, { offset: 3 }), 'offset: expected 0, got 3'],
  [pageOf(DATES, { offset: undefined }), 'offset: expected 0, got none'],
  [pageOf(DATES, { units: 'pch' }), 'units: expected lin, got "pch"'],
  [pageOf(DATES, { units: undefined }), 'units: expected lin, got none'],
  [pageOf(DATES, { observations: undefined }), 'observations: expected an array, got none'],
  [pageOf(DATES, { observations: {} }), 'observations: expected an array, got an object'],
  ['{}', 'observations: expected an array, got none'],
  ['[]', 'expected a json object, got an array (application/json, 2 bytes)'],
  ['<?xml version="1.0"?><error code="400"/>', 'expected a json object, got markup (application/json, 40 bytes)'],
  ['Too many requests', 'expected a json object, got text (application/json, 17 bytes): Too many requests'],
])('%s is broken', (page, detail) => {
  expect(judge(page)).toEqual({ kind: 'broken', detail })
})

test.each([
  [['2020-01-31', '2020-01-30'], 'observations: expected dates that ascend, got 2020-01-30 after 2020-01-31'],
  [['2020-01-31', '2020-01-31'], 'observations: expected dates that ascend, got 2020-01-31 after 2020-01-31'],
  [['2020-01-31', null], 'observations: expected a date at the end of the page, got none'],
  [['2020-01-31', '2020-02-30'], 'observations: expected a date at the end of the page, got "2020-02-30"'],
  [['2020-01-31', '9999-12-31'], 'observations: expected a date at the end of the page, got "9999-12-31"'],
])('%j on a full page say not where the next begins', (dates, detail) => {
  expect(judge(pageOf(dates, { count: 7, limit: 2 }))).toEqual({ kind: 'broken', detail })
})

test('on the last page the order of the dates is nobody’s business', () => {
  expect(judge(pageOf([...DATES].reverse()))).toEqual({ kind: 'page', records: 3, next: null })
})

test.each([
  ['Bad Request.  The series does not exist.', 'refused'],
  ['Bad Request.  Variable limit is not between 1 and 100000.', 'refused'],
  ['Bad Request.  The value for variable api_key is not registered.', 'auth'],
  ['Bad Request.  Variable api_key is not set.', 'auth'],
])('http 400 with %s is %s, also where it comes with HTTP 200', (message, kind) => {
  const body = JSON.stringify({ error_code: 400, error_message: message })
  const said = message.replaceAll(/\s+/g, ' ')
  expect(judge(body, 400)).toEqual({ kind, detail: `expected http 200, got 400: ${said}` })
  expect(judge(body)).toEqual({ kind, detail: `expected observations, got http 200 with error_code 400: ${said}` })
})

test.each([
  [429, 'throttled'],
  [500, 'unavailable'],
  [503, 'unavailable'],
  [404, 'refused'],
])('http %i is %s, and so is that error_code with HTTP 200', (status, kind) => {
  const body = JSON.stringify({ error_code: status, error_message: 'because' })
  expect(judge(body, status)).toMatchObject({ kind, detail: `expected http 200, got ${status}: because` })
  const detail = `expected observations, got http 200 with error_code ${status}: because`
  expect(judge(body)).toMatchObject({ kind, detail })
})

test('an error_code that is no status is broken', () => {
  const detail = 'expected observations, got http 200 with error_code "E7"'
  expect(judge('{"error_code":"E7"}')).toEqual({ kind: 'broken', detail })
})

test('an error in XML is refused by its status', () => {
  const body = '<?xml version="1.0" encoding="utf-8" ?><error code="400" message="Bad Request."/>'
  expect(judge(body, 400, { 'content-type': 'text/xml' })).toEqual({
    kind: 'refused',
    detail: 'expected http 200, got 400',
  })
})

test('every true beginning of a page is a body that was cut', () => {
  const whole = pageOf(DATES)
  for (let length = 1; length < whole.length; length++) {
    expect([length, judge(whole.slice(0, length)).kind]).toEqual([length, 'unavailable'])
  }
})
