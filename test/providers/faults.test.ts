import { expect, test } from 'vitest'
import { type Fault, faultOf, outage, seededFaults } from '../../jobs/local/providers/faults.ts'
import { loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { CancelledError, toError } from '../../shared/errors.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import { httpRequestOf } from '../../shared/sources/contract.ts'
import { ask, fetchBars, startAlpaca, windowOf } from './chain.ts'

const series = loadSp500()
const bound = alpaca.bind({ symbol: 'SPX', timeframe: '1m' })
const oneDay = windowOf('2019-07-01', '2019-07-02')
const twoPages = windowOf('2019-07-01', '2019-08-15')

async function cleanRows(window = oneDay) {
  return (await fetchBars(await startAlpaca({ series }), bound, window)).rows
}

test.each<[Fault]>([
  [{ kind: 'latency', ms: 20 }],
  [{ kind: 'reset' }],
  [{ kind: 'truncate', keep: 0.5 }],
  [{ kind: 'error', status: 500 }],
  [{ kind: 'error', status: 503, retryAfter: '0' }],
  [{ kind: 'content-type', value: 'text/html' }],
  [{ kind: 'gzip-header-only' }],
  [{ kind: 'gzip-body-only' }],
])('the http client or the source gets over %j', async (fault) => {
  const simulator = await startAlpaca({ series, faults: [fault] })
  expect((await fetchBars(simulator, bound, oneDay)).rows).toEqual(await cleanRows())
})

test('a server that says gzip of a plain body whenever gzip is accepted can be read', async () => {
  const simulator = await startAlpaca({ series, faults: () => ({ kind: 'gzip-header-only' }) })
  expect((await fetchBars(simulator, bound, oneDay)).rows).toEqual(await cleanRows())
  expect(simulator.requests.map(({ headers }) => headers['accept-encoding'])).toEqual(['gzip'])
})

const cutJson = /^expected a json object, got json that was cut \(application\/json; charset=UTF-8, \d+ bytes\)$/
test.each<[Fault, string, string | RegExp]>([
  [{ kind: 'throttle' }, 'throttled', 'expected http 200, got 429: too many requests.'],
  [{ kind: 'throttle', retryAfter: '2' }, 'throttled', 'expected http 200, got 429: too many requests.'],
  [{ kind: 'error', status: 501 }, 'unavailable', 'expected http 200, got 501: internal server error'],
  [{ kind: 'error', status: 422, message: 'no' }, 'refused', 'expected http 200, got 422: no'],
  [{ kind: 'cut', keep: 0.5 }, 'unavailable', cutJson],
  [{ kind: 'html' }, 'broken', /^expected a json object, got html \(text\/html, \d+ bytes\)$/],
  [
    { kind: 'body', body: '{"code":42910000,"message":"slow down"}' },
    'throttled',
    'expected bars, got http 200 with code 42910000: slow down',
  ],
])('of %j the source says %s', async (fault, kind, detail) => {
  const simulator = await startAlpaca({ series, faults: [fault], compress: false })
  const verdict = bound.page(await ask(simulator, bound.request(oneDay, null)))
  expect(verdict).toMatchObject({ kind })
  expect('detail' in verdict && verdict.detail).toMatch(detail)
})

test('a 429 without a header asks for no certain wait', async () => {
  const simulator = await startAlpaca({ series, faults: [{ kind: 'throttle' }, { kind: 'throttle', retryAfter: '2' }] })
  const waits = []
  for (let count = 0; count < 2; count++) {
    const verdict = bound.page(await ask(simulator, bound.request(oneDay, null)))
    waits.push(verdict.kind === 'throttled' ? verdict.retryAfterMs : verdict.kind)
  }
  expect(waits).toEqual([null, 2_000])
})

test.each<[Extract<Fault, { kind: 'field' }>['change'], string, string | undefined]>([
  ['drop', 'c', 'close: expected a value, got none'],
  ['rename', 'c', 'close: expected a value, got none'],
  ['null', 'o', 'open: expected a value, got none'],
  ['string', 'h', 'high: expected a number, got "'],
  ['huge', 'v', 'volume: expected what a double holds, got 9007199254740993'],
  ['huge', 'n', undefined],
  ['extra', 'c', undefined],
  ['drop', 'vw', undefined],
])('%s of %s in one record rejects that record or nothing: %s', async (change, field, detail) => {
  const simulator = await startAlpaca({ series, faults: [{ kind: 'field', change, field, row: 7 }] })
  const { rows, rejects } = await fetchBars(simulator, bound, oneDay)
  expect([rows.length, rejects]).toEqual(detail === undefined ? [390, 0] : [389, 1])
})

test('a row that comes on two pages comes twice, and nothing is lost', async () => {
  const simulator = await startAlpaca({ series, faults: [undefined, { kind: 'duplicate-row' }] })
  const { rows, pages } = await fetchBars(simulator, bound, twoPages)
  expect(pages).toEqual([10_000, 2_481])
  expect(rows[9_999]).toEqual(rows[10_000])
  expect([...rows.slice(0, 10_000), ...rows.slice(10_001)]).toEqual(await cleanRows(twoPages))
})

test('an empty page with a token is not the end', async () => {
  const simulator = await startAlpaca({ series, faults: [{ kind: 'empty-page' }, undefined, { kind: 'empty-page' }] })
  const { rows, pages } = await fetchBars(simulator, bound, twoPages)
  expect(pages).toEqual([0, 10_000, 0, 2_480])
  expect(rows).toEqual(await cleanRows(twoPages))
})

test('a stalled request is not answered, and ends with the caller', async () => {
  const simulator = await startAlpaca({ series, faults: [{ kind: 'stall' }] })
  const http = createHttpClient({ timeoutMs: 60_000, triesMax: 1 })
  const request = httpRequestOf(simulator.url, bound.request(oneDay, null), bound.request(oneDay, null))
  const signal = AbortSignal.timeout(300)
  const error = await http(request, { signal, bodyBytesMax: 100 }).catch(toError)
  expect(error).toBeInstanceOf(CancelledError)
  expect(simulator.requests.map(({ status }) => status)).toEqual([null])
})

test('an outage takes every request between two instants, and none before or after', async () => {
  let nowMs = 1_000_000_000_000
  const simulator = await startAlpaca({ series, now: () => nowMs, limits: { requestsPerMinute: 1_000 } })
  const url = `${simulator.url}/v2/stocks/bars`
  const answers = []
  simulator.setFaults(outage({ fromMs: nowMs + 1_000, untilMs: nowMs + 3_000 }))
  for (let second = 0; second < 4; second++) {
    answers.push(
      await fetch(url).then(
        ({ status }) => status,
        () => 'none',
      ),
    )
    nowMs += 1_000
  }
  expect(answers).toEqual([403, 'none', 'none', 403])
})

test('seeded faults are the same for the same seed, and about as many as asked for', () => {
  const kinds = (seed: string) => {
    const plan = seededFaults(seed, 0.2)
    return Array.from({ length: 1_000 }, (_, index) => faultOf(plan, { count: index + 1, atMs: 0, path: '/' })?.kind)
  }
  expect(kinds('a')).toEqual(kinds('a'))
  expect(kinds('b')).not.toEqual(kinds('a'))
  const spoiled = kinds('a').filter((kind) => kind !== undefined)
  expect([spoiled.length > 150 && spoiled.length < 250, new Set(spoiled).size]).toEqual([true, 11])
})
