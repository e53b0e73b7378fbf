import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { partitionOf } from '../../shared/curated/partition-path.ts'
import { bars } from '../../shared/datasets/bars.ts'
import { checkStep, parseStep } from '../../shared/ingest/backfill/step.ts'
import { cutWindows } from '../../shared/ingest/backfill/windows.ts'
import {
  formatInstant,
  type Instant,
  instantOfDate,
  MICROS_PER_DAY,
  MICROS_PER_SECOND,
  parseDate,
} from '../../shared/instant.ts'

type Options = { readonly timeframe: string; readonly days: number; readonly step: string | undefined }

const at = (text: string) => instantOfDate(parseDate(text) ?? 0)
const MINUTE = 60n * MICROS_PER_SECOND

function cutOf({ timeframe = '1m', days = 31, step }: { timeframe?: string; days?: number; step?: string } = {}) {
  const place = { dataset: 'bars', source: 'alpaca', subject: 'SPX', timeframe }
  return {
    partitionEnd: (instant: Instant) => partitionOf(bars, place, instant).hi,
    step: step === undefined ? null : parseStep(step),
    maxWindow: BigInt(days) * MICROS_PER_DAY,
    granularity: timeframe === '1d' ? MICROS_PER_DAY : MINUTE,
  }
}

const cut = (lo: string, hi: string, options?: Parameters<typeof cutOf>[0]) =>
  cutWindows({ lo: at(lo), hi: at(hi) }, cutOf(options)).map(
    (window) => `${formatInstant(window.lo).slice(0, 10)}/${formatInstant(window.hi).slice(0, 10)}`,
  )

describe('the windows of a backfill', () => {
  test('hold as many whole partitions as the largest window does', () => {
    expect(cut('2010-01-01', '2020-04-18', { timeframe: '1d', days: 1826 })).toEqual([
      '2010-01-01/2015-01-01',
      '2015-01-01/2020-01-01',
      '2020-01-01/2020-04-18',
    ])
    expect(cut('2010-01-01', '2010-07-01', { timeframe: '1h', days: 90 })).toEqual([
      '2010-01-01/2010-04-01',
      '2010-04-01/2010-06-01',
      '2010-06-01/2010-07-01',
    ])
  })

  test('begin and end where the range does, and in between where partitions end', () => {
    expect(cut('2010-01-15', '2010-03-10')).toEqual([
      '2010-01-15/2010-02-01',
      '2010-02-01/2010-03-01',
      '2010-03-01/2010-03-10',
    ])
  })

  test('are several where one partition is larger than the largest window', () => {
    expect(cut('2010-03-01', '2010-05-01', { days: 30 })).toEqual([
      '2010-03-01/2010-03-31',
      '2010-03-31/2010-04-01',
      '2010-04-01/2010-05-01',
    ])
  })

  test('are as long as the step, counted from the year 0 and not from where the range begins', () => {
    expect(cut('2010-02-10', '2012-01-01', { timeframe: '1h', days: 400, step: '6mo' })).toEqual([
      '2010-02-10/2010-07-01',
      '2010-07-01/2011-01-01',
      '2011-01-01/2011-07-01',
      '2011-07-01/2012-01-01',
    ])
  })

  test('are never larger than the largest window, whatever the step', () => {
    expect(cut('2010-01-01', '2010-04-01', { step: '1y' })).toEqual([
      '2010-01-01/2010-02-01',
      '2010-02-01/2010-03-01',
      '2010-03-01/2010-04-01',
    ])
  })

  test('tile the range, lie on the granularity, and meet inside a partition only where it is larger than they may be', () => {
    const dates = fc.integer({ min: -40_000, max: 40_000 })
    const options = fc.record({
      timeframe: fc.constantFrom('1m', '1d'),
      days: fc.integer({ min: 10, max: 900 }),
      step: fc.option(fc.constantFrom('1y', '2y', '5y'), { nil: undefined }),
    })
    const property = (from: number, days: number, { timeframe, days: maxDays, step }: Options) => {
      const options = cutOf({ timeframe, days: maxDays, ...(step === undefined ? {} : { step }) })
      const range = { lo: instantOfDate(from), hi: instantOfDate(from + days) }
      const windows = cutWindows(range, options)
      let lo = range.lo
      for (const window of windows) {
        expect(window.lo).toBe(lo)
        expect(window.hi).toBeGreaterThan(window.lo)
        expect(window.hi - window.lo).toBeLessThanOrEqual(options.maxWindow)
        expect(window.hi % options.granularity).toBe(0n)
        lo = window.hi
        if (window.hi === range.hi) continue
        const endsPartition = options.partitionEnd(window.hi - 1n) === window.hi
        expect(endsPartition || options.partitionEnd(window.lo) - window.lo > options.maxWindow).toBe(true)
      }
      expect(lo).toBe(range.hi)
    }
    fc.assert(fc.property(dates, fc.integer({ min: 1, max: 2_000 }), options, property), { numRuns: 100 })
  })
})

describe('a step', () => {
  test.each(['', '1', '1d', '30d', '0mo', '1.5mo', '-1y', '1 mo', '99999mo', '1MO'])('is not "%s"', (text) => {
    expect(() => parseStep(text)).toThrow(
      `--step: expected whole months or years such as 1mo or 1y, because files hold months or years, got "${text}"`,
    )
  })

  test('is refused where it would cut a partition', () => {
    const stream = { name: 'alpaca/bars/SPX/1d', timeframe: '1d' }
    expect(() => checkStep(parseStep('6mo'), stream, bars)).toThrow(
      '--step: expected whole years, because a file of alpaca/bars/SPX/1d holds a year, got "6mo"',
    )
    expect(() => checkStep(parseStep('24mo'), stream, bars)).not.toThrow()
    expect(() => checkStep(parseStep('1mo'), { ...stream, timeframe: '1m' }, bars)).not.toThrow()
  })
})
