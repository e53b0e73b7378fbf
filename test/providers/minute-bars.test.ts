import { expect, test } from 'vitest'
import { barSeriesOf } from '../../jobs/local/providers/bar-series.ts'
import { type Bar, dailyBarOf, minuteBarsOf } from '../../jobs/local/providers/minute-bars.ts'
import { loadSessions, loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { formatDate } from '../../shared/instant.ts'

const sessions = loadSessions()
const sum = (bars: readonly Bar[], of: (bar: Bar) => number) => bars.reduce((total, bar) => total + of(bar), 0)

test('the data file holds 5,105 sessions from 2000-01-03 to 2020-04-17, each date once and in order', () => {
  const dates = sessions.map(({ date }) => date)
  expect([sessions.length, formatDate(dates[0] as number), formatDate(dates.at(-1) as number)]).toEqual([
    5_105,
    '2000-01-03',
    '2020-04-17',
  ])
  expect([...new Set(dates)].sort((a, b) => a - b)).toEqual(dates)
})

test('the minutes of any session make up its day: open, high, low, close, volume and trades', () => {
  for (let index = 0; index < sessions.length; index += 25) {
    const session = sessions[index] as (typeof sessions)[number]
    const minutes = minuteBarsOf('SPX', session)
    const day = dailyBarOf(session)
    expect({
      minutes: minutes.length,
      open: minutes[0]?.open,
      high: Math.max(...minutes.map(({ high }) => high)),
      low: Math.min(...minutes.map(({ low }) => low)),
      close: minutes.at(-1)?.close,
      volume: sum(minutes, ({ volume }) => volume),
      tradeCount: sum(minutes, ({ tradeCount }) => tradeCount),
    }).toEqual({
      minutes: 390,
      open: day.open,
      high: day.high,
      low: day.low,
      close: day.close,
      volume: day.volume,
      tradeCount: day.tradeCount,
    })
  }
})

test('every minute is a sound bar: prices between low and high, whole shares, some trades', () => {
  const minutes = sessions.slice(0, 300).flatMap((session) => minuteBarsOf('SPX', session))
  const unsound = minutes.filter(
    ({ open, high, low, close, vwap, volume, tradeCount }) =>
      !(low <= Math.min(open, close, vwap) && high >= Math.max(open, close, vwap)) ||
      !(Number.isInteger(volume) && volume > 0 && tradeCount > 0),
  )
  expect(unsound).toEqual([])
})

test('minutes run from 09:30 to 15:59 in New York, in winter and in summer', () => {
  const startsOf = (date: string) => {
    const session = sessions.find((one) => formatDate(one.date) === date) as (typeof sessions)[number]
    const minutes = minuteBarsOf('SPX', session)
    return [minutes[0], minutes.at(-1)].map((bar) => new Date((bar as Bar).atS * 1000).toISOString().slice(11, 16))
  }
  expect([startsOf('2019-01-02'), startsOf('2019-07-01')]).toEqual([
    ['14:30', '20:59'],
    ['13:30', '19:59'],
  ])
})

test('the same symbol and date give the same minutes, another symbol gives others', () => {
  const session = sessions[4_000] as (typeof sessions)[number]
  expect(minuteBarsOf('SPX', session)).toEqual(minuteBarsOf('SPX', session))
  expect(minuteBarsOf('SPY', session)).not.toEqual(minuteBarsOf('SPX', session))
})

test.each([
  ['5m', 78],
  ['15m', 26],
  ['1h', 7],
] as const)('bars of %s are the minutes summed up: %i of them', (timeframe, count) => {
  const session = sessions[4_000] as (typeof sessions)[number]
  const bars = [...barSeriesOf('SPX', [session]).bars(timeframe, 0, 4e9)]
  expect(bars.length).toBe(count)
  expect([bars[0]?.open, bars.at(-1)?.close]).toEqual([session.open, session.close])
  expect(sum(bars, ({ volume }) => volume)).toBe(session.volume)
})

test('any part of a series is the same as that part of the whole', () => {
  const series = loadSp500()
  const whole = [...series.bars('1m', 1_561_939_200, 1_562_544_000)]
  const [first, last] = [whole[100] as Bar, whole[900] as Bar]
  expect([...series.bars('1m', first.atS, last.atS)]).toEqual(whole.slice(100, 901))
})
