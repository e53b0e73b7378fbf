import { readFileSync } from 'node:fs'
import { parseDate } from '../../../shared/instant.ts'
import { type BarSeries, barSeriesOf } from './bar-series.ts'
import type { Session } from './minute-bars.ts'

const FILE = new URL('../data/sp500-2000.csv', import.meta.url)
const HEADER = 'date,open,high,low,close,adjclose,volume'

/** Real daily bars of the S&P 500, 2000-01-03 to 2020-04-17, ascending. Origin: jobs/local/data/SOURCES.md. */
export function loadSessions(): readonly Session[] {
  const [header, ...lines] = readFileSync(FILE, 'utf8').trim().split('\n')
  if (header !== HEADER) throw new Error(`${FILE.pathname}: expected the header ${HEADER}, got ${header}`)
  return lines.map((line, index) => {
    const [text = '', ...values] = line.split(',')
    const date = parseDate(text)
    const [open, high, low, close, , volume] = values.map(Number)
    if (date === undefined || values.length !== 6 || !open || !high || !low || !close || !volume) {
      throw new Error(`${FILE.pathname} line ${index + 2}: expected a date and six numbers, got ${line}`)
    }
    return { date, open, high, low, close, volume }
  })
}

/** The series of those sessions. Under another symbol it has the same days and other minutes. */
export function loadSp500(symbol = 'SPX'): BarSeries {
  return barSeriesOf(symbol, loadSessions())
}
