import type { Dataset } from '../../datasets/contract.ts'
import { createRecordSink, type ParsedPage } from '../../datasets/record-sink.ts'
import type { BoundSource } from '../../sources/contract.ts'

/** Names beyond this are left out: a record of so many fields is an object used as a map. */
const FIELDS_MAX = 100

/**
 * Top-level fields of a page's records that its source does not read: under another name they change no row and no
 * reject. So a field that the provider has added is found, or one that was renamed, without a list of those we know.
 */
export function fieldsNotRead(dataset: Dataset, bound: BoundSource, body: Uint8Array): readonly string[] {
  const text = new TextDecoder().decode(body)
  const { page, fields } = parse(dataset, bound, body)
  const expected = spell(page)
  return [...fields].slice(0, FIELDS_MAX).filter((field) => {
    const spelled = JSON.stringify(field)
    const renamed = text.replaceAll(new RegExp(`${patternOf(spelled)}(?=\\s*:)`, 'g'), JSON.stringify(`${field}#`))
    if (renamed === text) return false
    try {
      return spell(parse(dataset, bound, new TextEncoder().encode(renamed)).page) === expected
    } catch {
      return false
    }
  })
}

/** The page, and the fields that have a value in some record: one that is null everywhere says nothing. */
function parse(dataset: Dataset, bound: BoundSource, body: Uint8Array) {
  const sink = createRecordSink(dataset)
  const fields = new Set<string>()
  bound.records(body, {
    ...sink,
    end(record) {
      if (typeof record === 'object' && record !== null && !Array.isArray(record)) {
        for (const [field, value] of Object.entries(record)) if (value !== null) fields.add(field)
      }
      sink.end(record)
    },
  })
  return { page: sink.finish(), fields }
}

/** Rejects without their records, in which the field has another name. */
function spell({ records, rows, rejects }: ParsedPage): string {
  const columns = Object.values(rows.columns).map((values) => Array.from<unknown>(values).map(String))
  return JSON.stringify([records, columns, rejects.map(({ ordinal, code }) => [ordinal, code])])
}

function patternOf(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
