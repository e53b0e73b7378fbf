import { z } from 'zod'
import { ConfigError } from '../../errors.ts'
import { readJsonText } from '../model/json-input.ts'
import { count } from '../model/kinds/payload-fields.ts'
import { fieldErrors } from '../model/problem.ts'
import { time } from './artifacts/fields.ts'
import { name } from './import-event.ts'
import type { HistoryTable } from './import-summary.ts'

/** What another system says a table got in a range of time. Instants are RFC 3339. */
export type Sample = {
  readonly target: HistoryTable
  readonly from: string
  readonly to: string
  readonly records?: number | undefined
  readonly bytes?: number | undefined
  readonly runs?: number | undefined
  /** End of the newest window in the range. */
  readonly until?: string | undefined
}

const PROBLEMS_MAX = 50

const sampleShape = z
  .strictObject({
    source: name,
    schema: name,
    table: name,
    from: time,
    to: time,
    records: count.optional(),
    bytes: count.optional(),
    runs: count.optional(),
    until: time.optional(),
  })
  .refine(({ from, to }) => from < to, { path: ['to'], message: 'expected it after from' })
  .meta({ title: 'sample', description: 'Figures of another system about one table in one range of time, half-open.' })

const NUMBERS = ['records', 'bytes', 'runs']

/** JSON (an array of samples) or CSV with a header of the same names. Throws ConfigError with every problem. */
export function parseSamples(text: string): readonly Sample[] {
  const problems: string[] = []
  const rows = text.trimStart().startsWith('[') ? jsonRows(text) : csvRows(text)
  const samples = rows.flatMap((row, index): Sample[] => {
    const parsed = sampleShape.safeParse(row)
    if (!parsed.success) {
      for (const { pointer, detail } of fieldErrors(parsed.error, [])) {
        problems.push(`sample ${index + 1}${pointer}: ${detail}`)
      }
      return []
    }
    const { source, schema, table, ...figures } = parsed.data
    return [{ target: { sourceId: source, schema, table }, ...figures }]
  })
  if (problems.length > 0) throw new ConfigError(problems.slice(0, PROBLEMS_MAX))
  return samples
}

function jsonRows(text: string): readonly unknown[] {
  const json = readJsonText(text)
  if (json.ok && Array.isArray(json.value)) return json.value
  const [error] = json.ok ? [] : json.errors
  throw new ConfigError([`samples: expected a JSON array${error ? `, got ${error.detail}` : ''}`])
}

function csvRows(text: string): readonly unknown[] {
  const [header = [], ...lines] = csvLines(text.replace(/^\uFEFF/, ''))
  return lines.map((fields, index) => {
    if (fields.length !== header.length) {
      throw new ConfigError([`sample ${index + 1}: expected ${header.length} fields, got ${fields.length}`])
    }
    const given = header.flatMap((column, at) => {
      const field = fields[at] ?? ''
      // An empty field says nothing.
      if (field === '') return []
      return [[column, NUMBERS.includes(column) && /^\d+$/.test(field) ? Number(field) : field]]
    })
    return Object.fromEntries(given)
  })
}

/** RFC 4180. Blank lines are none. */
function csvLines(text: string): string[][] {
  const lines: string[][] = []
  let fields: string[] = []
  for (const match of text.matchAll(/("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/g)) {
    const [, field = '', end] = match
    fields.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field.trim())
    if (end === ',') continue
    if (fields.length > 1 || fields[0] !== '') lines.push(fields)
    fields = []
  }
  return lines
}
