import { Cron } from 'croner'
import { ConfigError } from '../../../shared/errors.ts'

/** A schedule in UTC. */
export type Schedule = {
  readonly expression: string
  /** The first occurrence after an instant, never the instant itself. */
  readonly next: (after: Date) => Date
}

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
 * NCRONTAB as the Functions host reads it: six fields, day of week 0 to 6, and a day must match day of month AND day of
 * week. What other dialects allow besides (7 for Sunday, `L`, `W`, `#`, `?`, five fields) is refused here, because the
 * real host refuses it too, or reads it as something else. Throws `ConfigError`.
 */
export function parseNcrontab(expression: string): Schedule {
  const fields = expression.trim().split(/\s+/)
  if (fields.length !== FIELDS.length) {
    throw refuse(expression, 'six fields (second minute hour day month weekday)', `${fields.length}`)
  }
  const plain = FIELDS.map((field, index) => normalise(expression, field, fields[index] ?? ''))
  const cron = new Cron(plain.join(' '), { domAndDow: true, mode: '6-part', timezone: 'UTC', paused: true })
  const next = (after: Date): Date => {
    const found = cron.nextRun(after)
    if (!found) throw refuse(expression, `an occurrence after ${after.toISOString()}`, 'none')
    return found
  }
  next(new Date())
  return { expression, next }
}

/** One field with numbers for names, and `a/n` written as `a-max/n`, which is what NCRONTAB means by it. */
function normalise(expression: string, field: Field, text: string): string {
  return text
    .split(',')
    .map((item) => {
      const match = /^(?:\*|(\w+)(?:-(\w+))?)(?:\/(\d{1,2}))?$/.exec(item)
      const [, from, to, step] = match ?? []
      const low = from === undefined ? field.min : numberOf(field, from)
      const high = to === undefined ? (step === undefined ? low : field.max) : numberOf(field, to)
      const readable = match !== null && low !== undefined && high !== undefined && low <= high && step !== '0'
      if (!readable) throw refuse(expression, `a ${field.name} from ${field.min} to ${field.max}, *, a-b or /n`, item)
      if (from === undefined) return item
      const range = to === undefined && step === undefined ? `${low}` : `${low}-${high}`
      return step === undefined ? range : `${range}/${step}`
    })
    .join(',')
}

function numberOf(field: Field, text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) {
    const value = Number(text)
    return value >= field.min && value <= field.max ? value : undefined
  }
  const index = field.names.indexOf(text.toLowerCase())
  return index < 0 ? undefined : index + field.min
}

function refuse(expression: string, expected: string, got: string): ConfigError {
  return new ConfigError([`schedule "${expression}": expected ${expected}, got ${got}`])
}
