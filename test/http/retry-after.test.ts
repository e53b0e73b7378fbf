import { expect, test } from 'vitest'
import { parseRateLimitResetMs, parseRetryAfterMs } from '../../shared/http/retry-after.ts'

const now = Date.parse('2026-03-01T12:00:00Z')
const date = (ms: number) => new Date(ms).toUTCString()

test.each([
  ['0', 0],
  ['7', 7_000],
  ['1.5', 1_500],
  ['3600', 3_600_000],
  ['86400', 3_600_000],
  ['999999999999', 3_600_000],
  [' 12 ', 12_000],
  [date(now + 30_000), 30_000],
  [date(now - 30_000), 0],
  [date(now + 86_400_000), 3_600_000],
])('retry-after %j is %i ms', (text, ms) => {
  expect(parseRetryAfterMs({ 'retry-after': text }, now)).toBe(ms)
})

test.each(['', 'soon', '-5', '1e3', '0x10', '2026-03-01', 'Sun, 32 Mar 2026 12:00:00 GMT'])(
  'retry-after %j says nothing',
  (text) => {
    expect(parseRetryAfterMs({ 'retry-after': text }, now)).toBe(undefined)
  },
)

test('a date is measured from the date of the same answer, not from our clock', () => {
  const headers = { 'retry-after': date(now + 10_000), date: date(now) }
  expect(parseRetryAfterMs(headers, now + 86_400_000)).toBe(10_000)
})

test.each([
  [String(now / 1000 + 42), 42_000],
  [String(now / 1000 - 42), 0],
  ['42', 42_000],
])('x-ratelimit-reset %j is %i ms', (text, ms) => {
  expect(parseRateLimitResetMs({ 'x-ratelimit-reset': text }, now)).toBe(ms)
})

test('without the headers nothing is said', () => {
  expect([parseRetryAfterMs({}, now), parseRateLimitResetMs({}, now)]).toEqual([undefined, undefined])
})
