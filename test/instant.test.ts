import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../shared/duration.ts'
import {
  floorTo,
  formatCompact,
  formatDate,
  formatInstant,
  instantOfDate,
  parseDate,
  parseInstant,
} from '../shared/instant.ts'

const FIRST = -62_167_219_200_000_000n
const LAST = 253_402_300_799_999_999n

describe('an instant', () => {
  test.each([
    ['1970-01-01T00:00:00Z', 0n],
    ['2026-11-21T10:50:27Z', 1_795_258_227_000_000n],
    ['2026-11-21T10:50:27.1Z', 1_795_258_227_100_000n],
    ['2026-11-21T10:50:27.123456Z', 1_795_258_227_123_456n],
    ['2026-11-21 10:50:27.123456+00', 1_795_258_227_123_456n],
    ['2026-11-21T12:50:27+02:00', 1_795_258_227_000_000n],
    ['2026-11-21T05:20:27-0530', 1_795_258_227_000_000n],
    ['1969-12-31T23:59:59.999999Z', -1n],
    ['2024-02-29T00:00:00Z', 1_709_164_800_000_000n],
    ['0000-01-01T00:00:00Z', FIRST],
    ['9999-12-31T23:59:59.999999Z', LAST],
  ])('%s is read', (text, instant) => {
    expect(parseInstant(text)).toBe(instant)
  })

  test('digits below a microsecond are cut, not rounded', () => {
    expect(parseInstant('1970-01-01T00:00:00.999999999Z')).toBe(999_999n)
  })

  test.each([
    '',
    'now',
    '2026-11-21',
    '2026-11-21T10:50:27',
    '2026-11-21T10:50Z',
    '2026-11-21t10:50:27z',
    '2026-1-21T10:50:27Z',
    '2021-02-30T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-11-00T00:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T10:60:00Z',
    '2026-11-21T10:50:60Z',
    '2026-11-21T10:50:27.Z',
    '2026-11-21T10:50:27.1234567890Z',
    '2026-11-21T10:50:27+24:00',
    '2026-11-21T10:50:27+02:60',
    '0000-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '10000-01-01T00:00:00Z',
    '-0001-01-01T00:00:00Z',
    ' 2026-11-21T10:50:27Z',
    '2026-11-21T10:50:27Z\n',
  ])('%j is refused', (text) => {
    expect(parseInstant(text)).toBeUndefined()
  })

  test('is read back as it was written, over all years', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: FIRST, max: LAST }), (instant) => {
        expect(parseInstant(formatInstant(instant))).toBe(instant)
      }),
    )
  })

  test('is read or refused, never anything else, whatever the text', () => {
    const digits = fc.stringMatching(/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:\d\d)?)$/)
    fc.assert(
      fc.property(fc.oneof(digits, fc.string()), (text) => {
        const instant = parseInstant(text)
        if (instant !== undefined) expect(parseInstant(formatInstant(instant))).toBe(instant)
      }),
    )
  })

  test('is written with six digits of a second, or none', () => {
    expect(formatInstant(1_795_258_227_000_000n)).toBe('2026-11-21T10:50:27Z')
    expect(formatInstant(1_795_258_227_100_000n)).toBe('2026-11-21T10:50:27.100000Z')
    expect(formatInstant(-1n)).toBe('1969-12-31T23:59:59.999999Z')
  })

  test.each([FIRST - 1n, LAST + 1n])('of a year that has no four digits is not written: %s', (instant) => {
    expect(() => formatInstant(instant)).toThrow('instant: expected a year from 0000 to 9999, got')
  })

  test('in a name has no punctuation and no fraction', () => {
    expect(formatCompact(1_795_258_227_999_999n)).toBe('20261121T105027Z')
    expect(formatCompact(-1n)).toBe('19691231T235959Z')
  })

  test.each([
    [7n, 5n, 5n],
    [5n, 5n, 5n],
    [-1n, 5n, -5n],
    [-5n, 5n, -5n],
  ])('%s is floored to a multiple of %s: %s', (instant, step, floor) => {
    expect(floorTo(instant, step)).toBe(floor)
  })
})

describe('a date', () => {
  test.each([
    ['1970-01-01', 0],
    ['1969-12-31', -1],
    ['2024-02-29', 19_782],
    ['0000-01-01', -719_528],
    ['0099-12-31', -683_004],
    ['9999-12-31', 2_932_896],
  ])('%s is day %i', (text, days) => {
    expect(parseDate(text)).toBe(days)
    expect(formatDate(days)).toBe(text)
    expect(formatInstant(instantOfDate(days))).toBe(`${text}T00:00:00Z`)
  })

  test.each([
    '2021-02-30',
    '2023-02-29',
    '2026-13-01',
    '2026-00-10',
    '9999-12-32',
    '0000-00-00',
    '2026-1-1',
    '26-01-01',
    '',
  ])('%j is none', (text) => {
    expect(parseDate(text)).toBeUndefined()
  })
})

describe('a duration', () => {
  test.each([
    ['90s', 90],
    ['15m', 900],
    ['2h', 7_200],
    ['3d', 259_200],
    ['0s', 0],
  ])('%s is %i seconds', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds)
  })

  test.each(['', '15', 'm', '1.5h', '-1d', '1w', '1 d', '1D', '1h30m', '1234567890s', '٣d'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined()
  })

  test('is read back as it was written', () => {
    fc.assert(
      fc.property(fc.nat(100_000_000), (seconds) => {
        expect(parseDuration(formatDuration(seconds))).toBe(seconds)
      }),
    )
    expect([formatDuration(5_400), formatDuration(86_400), formatDuration(61)]).toEqual(['90m', '1d', '61s'])
  })
})
