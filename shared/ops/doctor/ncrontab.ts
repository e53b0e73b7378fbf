type Field = { readonly name: string; readonly min: number; readonly max: number; readonly names: readonly string[] }

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

const FIELDS: readonly Field[] = [
  { name: 'second', min: 0, max: 59, names: [] },
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day of month', min: 1, max: 31, names: [] },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  { name: 'day of week', min: 0, max: 6, names: DAYS },
]

/**
 * What is wrong with a schedule as the Functions host reads it, null where nothing is: six fields and not five, day of
 * week 0 to 6, none of the signs of other dialects (`L`, `W`, `#`, `?`). Without the library that the local host
 * computes occurrences with, which a deployed package does not have.
 */
export function scheduleProblem(expression: string): string | null {
  const fields = expression.trim().split(/\s+/)
  if (fields.length !== FIELDS.length) {
    return `${fields.length} fields instead of six (second minute hour day month weekday)`
  }
  for (const [index, field] of FIELDS.entries()) {
    const bad = (fields[index] ?? '').split(',').find((item) => !isReadable(field, item))
    if (bad !== undefined) return `"${bad}" instead of a ${field.name} from ${field.min} to ${field.max}, *, a-b or /n`
  }
  return null
}

function isReadable(field: Field, item: string): boolean {
  const match = /^(?:\*|(\w+)(?:-(\w+))?)(?:\/(\d{1,2}))?$/.exec(item)
  if (match === null) return false
  const [, from, to, step] = match
  if (step !== undefined && Number(step) === 0) return false
  const low = from === undefined ? field.min : numberOf(field, from)
  const high = to === undefined ? low : numberOf(field, to)
  return low !== undefined && high !== undefined && low <= high
}

function numberOf({ min, max, names }: Field, text: string): number | undefined {
  const named = names.indexOf(text.toLowerCase())
  const value = named >= 0 ? named + min : /^\d{1,2}$/.test(text) ? Number(text) : undefined
  return value !== undefined && value >= min && value <= max ? value : undefined
}
