const HOUR_OF_DAY = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York',
  hour: 'numeric',
  hourCycle: 'h23',
})

const offsets = new Map<number, number>()

/**
 * Hours that New York is behind UTC on a date, in days since 1970: 4 in summer, 5 in winter. Asked at 05:00Z, which is
 * midnight or one o'clock there, before any switch: on the two Sundays of a switch it is the offset of their midnight.
 */
export function newYorkBehindHours(date: number): number {
  const known = offsets.get(date)
  if (known !== undefined) return known
  const hours = 5 - Number(HOUR_OF_DAY.format(new Date((date * 24 + 5) * 3_600_000)))
  offsets.set(date, hours)
  return hours
}

/** Seconds since 1970 of a wall time in New York, in minutes after midnight of a session's date. */
export function newYorkSeconds(date: number, minutes = 0): number {
  return date * 86_400 + newYorkBehindHours(date) * 3_600 + minutes * 60
}
