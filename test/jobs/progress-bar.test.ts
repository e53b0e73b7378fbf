import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { createMeter, formatSeconds } from '../../jobs/cli/meter.ts'
import { createProgressBar, createProgressLines } from '../../jobs/cli/progress-bar.ts'
import type { Outlook } from '../../shared/ingest/backfill/outlook.ts'

const OUTLOOK: Outlook = {
  state: 'active',
  now: 0n,
  windows: 8,
  planned: 3,
  underWay: 1,
  landed: 0,
  held: 0,
  published: 4,
  empty: 0,
  cancelled: 0,
  failed: 0,
  rows: 40_000,
  calls: 8,
  bytes: 4_000_000,
  ofPausedStreams: 0,
  nextAt: 0n,
}

describe('the meter of a backfill', () => {
  const reading = (atMs: number, done: number) => ({ atMs, windows: 100, done, rows: done * 1_000, calls: done * 2 })

  test('knows no rate before its second reading, and no end without a rate', () => {
    const meter = createMeter()
    expect(meter(reading(0, 10))).toEqual({ rowsPerS: 0, callsPerS: 0, etaS: null })
    expect(meter(reading(2_000, 10))).toEqual({ rowsPerS: 0, callsPerS: 0, etaS: null })
  })

  test('counts what was done since it began, and not what others had done before', () => {
    const meter = createMeter()
    meter(reading(0, 60))
    expect(meter(reading(10_000, 70))).toEqual({ rowsPerS: 1_000, callsPerS: 2, etaS: 30 })
  })

  test('forgets what is more than a minute ago', () => {
    const meter = createMeter()
    meter(reading(0, 0))
    meter(reading(60_000, 60))
    expect(meter(reading(120_000, 66))).toEqual({ rowsPerS: 100, callsPerS: 0.2, etaS: 340 })
  })

  test('is at its end when nothing is left', () => {
    expect(createMeter()(reading(0, 100)).etaS).toBe(0)
  })

  test.each([
    [5, '5s'],
    [125, '2m 5s'],
    [11_530, '3h 12m'],
  ])('spells %i seconds as %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text)
  })
})

describe('the progress of a backfill', () => {
  test('on a terminal is a bar with windows, rows and calls per second, and what failed', () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 160 })
    let written = ''
    stream.on('data', (chunk) => {
      written += chunk
    })
    const bar = createProgressBar(stream)
    bar.show({ ...OUTLOOK, failed: 2 })
    bar.end()
    expect(written).toContain('50%')
    expect(written).toContain('4 of 8 windows')
    expect(written).toContain('0 rows/s, 0 calls/s')
    expect(written).toContain('2 failed')
  })

  test('without a terminal is the first line, then one every ten seconds, and the last', () => {
    const lines: string[] = []
    const view = createProgressLines('b1', (line) => lines.push(line))
    for (const rows of [1, 2, 3]) view.show({ ...OUTLOOK, rows })
    view.end()
    view.end()
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'backfill_progress', backfillId: 'b1', windows: 8, done: 4, failed: 0, rows: 1, calls: 8, etaS: null },
      { rows: 3 },
    ])
  })
})
