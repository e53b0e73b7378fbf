import { type Random, seededRandom } from './seeded-random.ts'
import { loadSessions } from './sp500.ts'

/** As on the wire. */
export type Observation = {
  /** Days since 1970. */
  readonly date: number
  /** A number as text, or `.` where there is none. */
  readonly value: string
}

export type ObservationSeries = {
  readonly id: string
  /** Ascending, both dates inclusive. */
  readonly between: (fromDate: number, toDate: number) => readonly Observation[]
}

/** A series that FRED has by that name, with invented values; the seed is the name. */
export type GeneratedSeries = {
  readonly id: string
  readonly first: number
  /** The value that follows on another, one session later. */
  readonly next: (value: number, random: Random) => number
}

/** Percent a year: drawn back towards 4, never below zero. */
const DGS10: GeneratedSeries = {
  id: 'DGS10',
  first: 5,
  next: (value, random) => Math.max(0.05, value + 0.002 * (4 - value) + 0.12 * (random() - 0.5)),
}

/** Index points: up to two percent up or down in each session, and 0.03 percent up on the average. */
const NASDAQCOM: GeneratedSeries = {
  id: 'NASDAQCOM',
  first: 3_000,
  next: (value, random) => value * (1.0003 + 0.04 * (random() - 0.5)),
}

/** DGS10 and NASDAQCOM, generated: jobs/local/data/SOURCES.md says how. */
export function loadObservationSeries(): readonly ObservationSeries[] {
  const sessions = loadSessions().map(({ date }) => date)
  return [DGS10, NASDAQCOM].map((series) => generateSeries(series, sessions))
}

/** A row for every weekday from the first session to the last; those without a session are holidays and have no value. */
export function generateSeries({ id, first, next }: GeneratedSeries, sessions: readonly number[]): ObservationSeries {
  const open = new Set(sessions)
  const random = seededRandom(`fred ${id}`)
  const observations: Observation[] = []
  let value = first
  for (let date = sessions[0] ?? 0; date <= (sessions.at(-1) ?? -1); date++) {
    if (isWeekend(date)) continue
    if (open.has(date)) {
      observations.push({ date, value: value.toFixed(2) })
      value = next(value, random)
    } else {
      observations.push({ date, value: '.' })
    }
  }
  return {
    id,
    between: (fromDate, toDate) => observations.filter(({ date }) => date >= fromDate && date <= toDate),
  }
}

/** Day 0, 1970-01-01, was a Thursday. */
function isWeekend(date: number): boolean {
  return (date + 3) % 7 > 4
}
