import { z } from 'zod'
import { ConfigError } from '../../errors.ts'
import { recordKey } from '../model/identity.ts'
import { readJsonText } from '../model/json-input.ts'
import { ingestionVolume } from '../model/kinds/ingestion-volume.ts'
import { count } from '../model/kinds/payload-fields.ts'
import { fieldErrors } from '../model/problem.ts'
import type { MetadataRecord } from '../model/record.ts'
import { type MetadataRepository, PAGE_LIMIT_MAX } from '../model/repository.ts'
import { time } from './artifacts/fields.ts'
import { csvLines } from './csv-lines.ts'
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

export type SampleFigure = 'records' | 'bytes' | 'runs' | 'until'

export type ComparedSample = {
  readonly sample: Sample
  /** Where the two differ; empty: they agree. `found` null: nothing that says so. */
  readonly differences: readonly {
    readonly figure: SampleFigure
    readonly expected: number | string
    readonly found: number | string | null
  }[]
}

const FIGURES = ['records', 'bytes', 'runs', 'until'] as const

/**
 * Compares what the volumes of a table say with what another system says, over windows that lie in the range (or ends,
 * where a run tells no window). Of the records that are hot: an import is compared when it was made.
 */
export async function compareSamples({
  repository,
  samples,
}: {
  readonly repository: Pick<MetadataRepository, 'query'>
  readonly samples: readonly Sample[]
}): Promise<readonly ComparedSample[]> {
  const compared: ComparedSample[] = []
  for (const sample of samples) {
    const found = figuresOf(await factsOf(repository, sample))
    const differences = FIGURES.flatMap((figure) => {
      const expected = sample[figure]
      if (expected === undefined || expected === found[figure]) return []
      return [{ figure, expected, found: found[figure] }]
    })
    compared.push({ sample, differences })
  }
  return compared
}

/** Each fact once, as its highest revision says it. */
async function factsOf(
  repository: Pick<MetadataRepository, 'query'>,
  { target, from, to }: Sample,
): Promise<readonly MetadataRecord[]> {
  const facts = new Map<string, MetadataRecord>()
  // Without an end: a fact whose window grew out of the range would be counted as it was before.
  const filter = { kind: ingestionVolume.kind, target, from }
  for (let after: string | undefined; ; ) {
    const { records, next } = await repository.query(filter, { limit: PAGE_LIMIT_MAX, after })
    for (const record of records) {
      const key = recordKey(record)
      if ((facts.get(key)?.revision ?? -1) < record.revision) facts.set(key, record)
    }
    if (next === null) break
    after = next
  }
  return [...facts.values()].filter(({ window, effectiveAt }) =>
    window === undefined ? effectiveAt >= from && effectiveAt < to : window.start >= from && window.end <= to,
  )
}

function figuresOf(facts: readonly MetadataRecord[]) {
  const volumes = facts.map(({ payload }) => ingestionVolume.payload.parse(payload))
  const ends = facts.flatMap(({ window }) => (window === undefined ? [] : [window.end])).sort()
  const bytes = volumes.flatMap((volume) => (volume.bytes === undefined ? [] : [volume.bytes]))
  return {
    records: sum(volumes.map(({ records }) => records)),
    // Of runs that tell none it would be too little.
    bytes: bytes.length === volumes.length ? sum(bytes) : null,
    runs: facts.length,
    until: ends.at(-1) ?? null,
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
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
