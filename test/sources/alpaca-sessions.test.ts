import { expect, test } from 'vitest'
import { loadSessions, loadSp500 } from '../../jobs/local/providers/sp500.ts'
import { formatDate, parseDate } from '../../shared/instant.ts'
import { alpaca } from '../../shared/sources/alpaca/alpaca.ts'
import { fetchBars, startAlpaca, windowOf } from '../providers/chain.ts'

const daily = alpaca.bind({ symbol: 'SPX', timeframe: '1d' })
const minutely = alpaca.bind({ symbol: 'SPX', timeframe: '1m' })

function datesBetween(lo: string, hi: string): string[] {
  const dates = loadSessions().map(({ date }) => formatDate(date))
  return dates.filter((date) => date >= lo && date < hi)
}

test('twenty years of daily bars come back with exactly their session dates, at 00:00Z of them', async () => {
  const simulator = await startAlpaca({ series: loadSp500() })
  const { rows, rejects } = await fetchBars(simulator, daily, windowOf('2000-01-01', '2020-05-01'))
  expect(rejects).toBe(0)
  expect(rows.map(({ date }) => formatDate(date))).toEqual(datesBetween('2000-01-01', '2020-05-01'))
  expect(rows.every(({ ts, date }) => ts === `${formatDate(date)}T00:00:00.000Z`)).toBe(true)
})

// The days before and after each switch, in the years before and after the rule changed, and the turn of a year.
test.each([
  ['2006-03-30', '2006-04-07'],
  ['2006-10-26', '2006-11-02'],
  ['2019-03-07', '2019-03-14'],
  ['2019-10-31', '2019-11-07'],
  ['2018-12-28', '2019-01-05'],
])('windows of one day from %s to %s give each session once, in its own window', async (from, to) => {
  const simulator = await startAlpaca({ series: loadSp500() })
  for (let day = parseDate(from) as number; day < (parseDate(to) as number); day++) {
    const [lo, hi] = [formatDate(day), formatDate(day + 1)]
    const { rows } = await fetchBars(simulator, daily, windowOf(lo, hi))
    expect([lo, rows.map(({ date }) => formatDate(date))]).toEqual([lo, datesBetween(lo, hi)])
  }
})

test('minutes on both sides of a switch carry the date of their session in New York', async () => {
  const simulator = await startAlpaca({ series: loadSp500() })
  const { rows } = await fetchBars(simulator, minutely, windowOf('2019-03-08', '2019-03-12'))
  const inNewYork = new Intl.DateTimeFormat('en-CA', { timeZone: 'America/New_York', dateStyle: 'short' })
  expect(rows.length).toBe(2 * 390)
  expect(rows.filter(({ ts, date }) => inNewYork.format(new Date(ts)) !== formatDate(date))).toEqual([])
  expect([rows[0]?.ts, rows[390]?.ts]).toEqual(['2019-03-08T14:30:00.000Z', '2019-03-11T13:30:00.000Z'])
})

test('two adjacent windows give what one over both gives', async () => {
  const simulator = await startAlpaca({ series: loadSp500() })
  const whole = await fetchBars(simulator, minutely, windowOf('2019-07-01', '2019-08-15'))
  const first = await fetchBars(simulator, minutely, windowOf('2019-07-01', '2019-07-19'))
  const second = await fetchBars(simulator, minutely, windowOf('2019-07-19', '2019-08-15'))
  expect(whole.pages).toEqual([10_000, 2_480])
  expect([...first.rows, ...second.rows]).toEqual(whole.rows)
})
