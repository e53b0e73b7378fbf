/** Where a backfill stands at an instant, over all of its workers. */
export type Reading = {
  readonly atMs: number
  readonly windows: number
  readonly done: number
  readonly rows: number
  readonly calls: number
}

export type Rates = {
  readonly rowsPerS: number
  readonly callsPerS: number
  /** Seconds until nothing is left, at the present rate; null while there is none. */
  readonly etaS: number | null
}

/** Rates are those of so much time at most: quotas and nights change them. */
const LOOK_BACK_MS = 60_000

/** Makes rates out of the readings of the last minute. */
export function createMeter(): (reading: Reading) => Rates {
  const readings: Reading[] = []
  return (reading) => {
    readings.push(reading)
    while ((readings[1]?.atMs ?? Number.POSITIVE_INFINITY) <= reading.atMs - LOOK_BACK_MS) readings.shift()
    const first = readings[0] ?? reading
    const seconds = (reading.atMs - first.atMs) / 1000
    const perS = (of: (reading: Reading) => number) => (seconds > 0 ? (of(reading) - of(first)) / seconds : 0)
    const donePerS = perS(({ done }) => done)
    const left = reading.windows - reading.done
    return {
      rowsPerS: Math.round(perS(({ rows }) => rows)),
      callsPerS: Math.round(perS(({ calls }) => calls) * 10) / 10,
      etaS: left === 0 ? 0 : donePerS > 0 ? Math.round(left / donePerS) : null,
    }
  }
}

/** `3h 12m`, `12m 5s`, `5s`. */
export function formatSeconds(seconds: number): string {
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  if (hours > 0) return `${hours}h ${minutes}m`
  return minutes > 0 ? `${minutes}m ${Math.floor(seconds % 60)}s` : `${Math.floor(seconds)}s`
}
