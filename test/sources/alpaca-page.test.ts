import { expect, test } from 'vitest'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import type { PageVerdict } from '../../shared/sources/contract.ts'

const bound = alpaca.bind({ symbol: 'TSLA', timeframe: '1m' })

function pageOf(body: string, headers: Record<string, string> = { 'content-type': 'application/json' }): PageVerdict {
  return bound.page({ status: 200, headers, body: new TextEncoder().encode(body) })
}

test.each<[string, number, string | null]>([
  ['{"bars":{},"next_page_token":null}', 0, null],
  ['{"bars":{},"next_page_token":"more"}', 0, 'more'],
  ['{"bars":{"TSLA":null},"next_page_token":null}', 0, null],
  ['{"bars":{"TSLA":[]},"next_page_token":null}', 0, null],
  ['{"bars":{"TSLA":[{},1,null]},"next_page_token":"more"}', 3, 'more'],
  ['{"next_page_token":null,"currency":"USD","message":"new","bars":{"TSLA":[{}]}}', 1, null],
])('%s is a page of %i records, and its next token is %j', (body, records, next) => {
  expect(pageOf(body)).toEqual({ kind: 'page', records, next })
})

test.each<[string, string]>([
  ['{"next_page_token":null}', 'bars: expected an object, got none'],
  ['{"bars":null,"next_page_token":null}', 'bars: expected an object, got null'],
  ['{"bars":[],"next_page_token":null}', 'bars: expected an object, got an array'],
  ['{"bars":"","next_page_token":null}', 'bars: expected an object, got a string'],
  ['{"Bars":{},"next_page_token":null}', 'bars: expected an object, got none'],
  ['{"bars":{}}', 'next_page_token: expected a token or null, got none'],
  ['{"bars":{},"nextPageToken":"x"}', 'next_page_token: expected a token or null, got none'],
  ['{"bars":{},"next_page_token":""}', 'next_page_token: expected a token or null, got an empty one'],
  ['{"bars":{},"next_page_token":7}', 'next_page_token: expected a token or null, got a number'],
  ['{"bars":{"AAPL":[{}]},"next_page_token":null}', 'bars: expected only TSLA, got AAPL'],
  ['{"bars":{"TSLA":[{}],"AAPL":null},"next_page_token":null}', 'bars: expected only TSLA, got AAPL'],
  ['{"bars":{"TSLA":{}},"next_page_token":null}', 'bars of TSLA: expected an array, got an object'],
  ['{"bars":{"TSLA":0},"next_page_token":null}', 'bars of TSLA: expected an array, got a number'],
  ['[]', 'expected a json object, got an array (application/json, 2 bytes)'],
  ['too many requests.', 'expected a json object, got text (application/json, 18 bytes): too many requests.'],
])('%s is broken', (body, detail) => {
  expect(pageOf(body)).toEqual({ kind: 'broken', detail })
})

test('html with status 200 is broken, whatever it calls itself', () => {
  const body = '<html>'.padEnd(5_120)
  const detail = 'expected a json object, got html (text/html, 5120 bytes)'
  expect(pageOf(body, { 'content-type': 'text/html' })).toEqual({ kind: 'broken', detail })
  expect(pageOf(body, {})).toEqual({ kind: 'broken', detail: detail.replace('text/html', 'no content type') })
})

test('a page is known by its content: the content type may lie', () => {
  const verdict = pageOf('{"bars":{},"next_page_token":null}', { 'content-type': 'text/html' })
  expect(verdict).toEqual({ kind: 'page', records: 0, next: null })
})

test('every true beginning of a page is a body that was cut', () => {
  const whole = '{"bars":{"TSLA":[{"t":"2020-01-02T14:30:00Z","o":1.5}]},"next_page_token":null}'
  for (let length = 1; length < whole.length; length++) {
    expect([length, pageOf(whole.slice(0, length)).kind]).toEqual([length, 'unavailable'])
  }
})

test.each([
  [42910000, 'throttled'],
  [40310000, 'auth'],
  [40110000, 'auth'],
  [50010000, 'unavailable'],
  [40010001, 'refused'],
  [429, 'throttled'],
  [7, 'broken'],
])('code %i in an answer with http 200 is %s', (code, kind) => {
  const verdict = pageOf(JSON.stringify({ code, message: 'because' }))
  expect(verdict).toMatchObject({ kind, detail: `expected bars, got http 200 with code ${code}: because` })
})

test('a message without a code in an answer with http 200 is broken', () => {
  const detail = 'expected bars, got http 200 with code none: because'
  expect(pageOf('{"message":"because"}')).toEqual({ kind: 'broken', detail })
})

test('the wait that a throttled answer asks for comes with the verdict', () => {
  const body = new TextEncoder().encode('{"code":42910000,"message":"too many requests."}')
  expect(bound.page({ status: 429, headers: { 'retry-after': '3' }, body })).toEqual({
    kind: 'throttled',
    retryAfterMs: 3_000,
    detail: 'expected http 200, got 429: too many requests.',
  })
})
