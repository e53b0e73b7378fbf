import type { CatalogDiff } from '../../model/kinds/catalog-diff.ts'
import type { SchemaColumn } from '../../model/kinds/schema-snapshot.ts'
import { compareTypes } from './column-type.ts'
import { type PlacedColumn, type PossibleRename, possibleRenames } from './possible-rename.ts'

export type SchemaChange = CatalogDiff['changes'][number]
export type Severity = SchemaChange['severity']

/** Columns in their order, with what identifies each whatever its name is, where the place has such a thing. */
export type SchemaForm = { readonly columns: readonly SchemaColumn[]; readonly ids?: readonly string[] | undefined }

/** What is known of those who read the target. */
export type SchemaReaders = {
  /** Columns that are mapped, filtered or counted by; absent: not known, and what was never null counts as used. */
  readonly used?: ReadonlySet<string>
  /** Columns of the table that it is loaded into, by the names they have here. */
  readonly sink?: ReadonlyMap<string, SinkColumn>
  /** It is written back to as well. */
  readonly writeBack?: boolean
  /** Columns are known by their place: CSV without a header. */
  readonly positional?: boolean
}

export type SinkColumn = {
  readonly type: string
  readonly nullable: boolean
  /** Takes listed values only. */
  readonly checked?: boolean
}

export type SchemaDifference = {
  /** The worst first, then in the order of the columns. */
  readonly changes: readonly SchemaChange[]
  readonly possibleRenames: readonly PossibleRename[]
}

/** The worst first. */
export const SEVERITIES = ['breaking', 'warning', 'compatible', 'info'] as const satisfies readonly Severity[]

const LIST_CHARS_MAX = 2_000
/** Half of the columns gone at once is a snapshot that failed sooner than a change. */
const SUSPECT_SHARE = 0.5

type Kept = { readonly before: SchemaColumn; readonly after: SchemaColumn; readonly place: number }

/** What became of each column, by evidence: a rename is one only where the column's identity says so. */
type Matched = {
  readonly kept: readonly Kept[]
  readonly removed: readonly PlacedColumn[]
  readonly added: readonly PlacedColumn[]
}

/** Whether half of the columns or more are gone. */
export function isSuspect(before: SchemaForm, after: SchemaForm): boolean {
  const { removed } = matchColumns(before, after)
  return removed.length > 0 && removed.length >= before.columns.length * SUSPECT_SHARE
}

/** Changes of a schema, rated by what they do to who reads it. Null: there is no such table any more. */
export function compareSchemas(
  before: SchemaForm,
  after: SchemaForm | null,
  readers: SchemaReaders = {},
): SchemaDifference {
  if (after === null) {
    return { changes: [{ change: 'table_dropped', severity: 'breaking' }], possibleRenames: [] }
  }
  const matched = matchColumns(before, after)
  const renames = possibleRenames(matched.removed, matched.added)
  const changes = [
    ...matched.removed.map(({ column }) => removal(column, renames, readers)),
    ...matched.kept.flatMap((pair) => columnChanges(pair.before, pair.after, readers)),
    ...matched.added.map(({ column }) => addition(column, renames, readers)),
    ...keyChange(before, after, matched),
    ...orderChange(before, after, matched, readers),
  ]
  const rank = ({ severity }: SchemaChange) => SEVERITIES.indexOf(severity)
  return { changes: changes.sort((a, b) => rank(a) - rank(b)), possibleRenames: renames }
}

/** Of a table that was dropped and is there again: nobody read it meanwhile. */
export function returnedSchema({ columns }: SchemaForm): readonly SchemaChange[] {
  return columns.map((column) => ({
    change: 'column_added',
    column: column.name,
    after: spelled(column),
    severity: 'compatible',
    reason: 'the table is there again',
  }))
}

function matchColumns(before: SchemaForm, after: SchemaForm): Matched {
  const partners = new Map<SchemaColumn, SchemaColumn>()
  const taken = new Set<SchemaColumn>()
  const match = (keyOf: (form: SchemaForm, place: number) => string | undefined) => {
    const candidates = new Map(after.columns.map((column, place) => [keyOf(after, place), column]))
    for (const [place, column] of before.columns.entries()) {
      const key = keyOf(before, place)
      const partner = key === undefined || partners.has(column) ? undefined : candidates.get(key)
      if (partner === undefined || taken.has(partner)) continue
      partners.set(column, partner)
      taken.add(partner)
    }
  }
  // Identities first, or two columns that swapped their names would look untouched. Then names: a table that was made
  // again has new identities.
  match(({ ids }, place) => ids?.[place])
  match(({ columns }, place) => columns[place]?.name)
  const kept: Kept[] = []
  const removed: PlacedColumn[] = []
  for (const [place, column] of before.columns.entries()) {
    const partner = partners.get(column)
    if (partner === undefined) removed.push({ column, place })
    else kept.push({ before: column, after: partner, place })
  }
  const added = [...after.columns.entries()].flatMap(([place, column]) =>
    taken.has(column) ? [] : [{ column, place }],
  )
  return { kept, removed, added }
}

function removal(column: SchemaColumn, renames: readonly PossibleRename[], readers: SchemaReaders): SchemaChange {
  const used = column.key === true || (readers.used?.has(column.name) ?? column.nullable === false)
  const rename = renames.find(({ from }) => from === column.name)
  return {
    change: 'column_removed',
    column: column.name,
    before: spelled(column),
    severity: used ? 'breaking' : 'warning',
    ...(rename && { reason: `possible rename to ${rename.to}: score ${rename.score}` }),
  }
}

function addition(column: SchemaColumn, renames: readonly PossibleRename[], readers: SchemaReaders): SchemaChange {
  const filled = column.nullable !== false || column.default !== undefined
  const rename = renames.find(({ to }) => to === column.name)
  return {
    change: 'column_added',
    column: column.name,
    after: spelled(column),
    severity: filled ? 'compatible' : readers.writeBack ? 'breaking' : 'warning',
    ...(rename && { reason: `possible rename of ${rename.from}: score ${rename.score}` }),
  }
}

function columnChanges(before: SchemaColumn, after: SchemaColumn, readers: SchemaReaders): readonly SchemaChange[] {
  const info = (change: SchemaChange['change'], from: string | undefined, to: string | undefined): SchemaChange[] =>
    from === to
      ? []
      : [
          {
            change,
            column: after.name,
            ...(from !== undefined && { before: from }),
            ...(to !== undefined && { after: to }),
            severity: 'info',
          },
        ]
  const renamed = { column: before.name, before: before.name, after: after.name, severity: 'breaking' as const }
  return [
    ...(before.name === after.name ? [] : [{ change: 'column_renamed' as const, ...renamed }]),
    ...typeChange(before, after, readers),
    ...nullabilityChange(before, after, readers),
    ...info('default_changed', before.default, after.default),
    ...info('comment_changed', before.comment, after.comment),
  ]
}

function typeChange(before: SchemaColumn, after: SchemaColumn, { sink }: SchemaReaders): readonly SchemaChange[] {
  const type = compareTypes(before.type, after.type)
  if (type.kind === 'same') return []
  const common = { column: after.name, before: before.type, after: after.type }
  const into = sink?.get(before.name)
  if (type.kind === 'values') {
    const reason = [
      ...type.added.map((value) => `added ${value}`),
      ...type.removed.map((value) => `removed ${value}`),
    ].join(', ')
    const severity = into?.checked ? 'breaking' : 'warning'
    return [{ change: 'enum_changed', ...common, severity, ...(reason && { reason: bounded(reason) }) }]
  }
  if (type.kind === 'broken') {
    return [{ change: 'type_changed', ...common, severity: 'breaking', reason: type.reason }]
  }
  if (type.kind === 'collation') {
    const severity = before.key || after.key ? 'breaking' : 'warning'
    return [{ change: 'type_changed', ...common, severity, reason: 'another collation: equal and greater change' }]
  }
  const fits = into === undefined || ['same', 'wider'].includes(compareTypes(after.type, into.type).kind)
  if (fits) return [{ change: 'type_changed', ...common, severity: 'compatible' }]
  return [{ change: 'type_changed', ...common, severity: 'breaking', reason: `${into.type} cannot hold it` }]
}

function nullabilityChange(
  before: SchemaColumn,
  after: SchemaColumn,
  { sink }: SchemaReaders,
): readonly SchemaChange[] {
  // A place that does not say is not compared.
  if (before.nullable === undefined || after.nullable === undefined || before.nullable === after.nullable) return []
  const required = before.key || after.key || sink?.get(before.name)?.nullable === false
  const severity = !after.nullable ? 'compatible' : required ? 'breaking' : 'warning'
  const word = (nullable: boolean) => (nullable ? 'null' : 'not null')
  return [
    {
      change: 'nullability_changed',
      column: after.name,
      before: word(before.nullable),
      after: word(after.nullable),
      severity,
    },
  ]
}

function keyChange(before: SchemaForm, after: SchemaForm, { kept }: Matched): readonly SchemaChange[] {
  const newNames = new Map(kept.map((pair) => [pair.before.name, pair.after.name]))
  const keyOf = ({ columns }: SchemaForm) => columns.filter(({ key }) => key).map(({ name }) => name)
  const was = keyOf(before)
  const is = keyOf(after)
  const now = new Set(is)
  const same = was.length === is.length && was.every((name) => now.has(newNames.get(name) ?? ''))
  if (same) return []
  return [{ change: 'key_changed', before: listed(was), after: listed(is), severity: 'breaking' }]
}

/** What was added or removed moves nothing, unless columns are known by their place. */
function orderChange(
  before: SchemaForm,
  after: SchemaForm,
  { kept }: Matched,
  { positional }: SchemaReaders,
): readonly SchemaChange[] {
  const places = new Map(after.columns.map((column, place) => [column, place]))
  const now = kept.map((pair) => places.get(pair.after) ?? 0)
  const moved = positional
    ? kept.some(({ place }, at) => place !== now[at])
    : now.some((place, at) => at > 0 && place < (now[at - 1] ?? 0))
  if (!moved) return []
  const names = ({ columns }: SchemaForm) => listed(columns.map(({ name }) => name))
  const severity = positional ? 'breaking' : 'info'
  return [{ change: 'position_changed', before: names(before), after: names(after), severity }]
}

function spelled({ type, nullable }: SchemaColumn): string {
  return nullable === false ? `${type} not null` : type
}

function listed(names: readonly string[]): string {
  return bounded(names.join(', '))
}

function bounded(text: string): string {
  return text.length > LIST_CHARS_MAX ? `${text.slice(0, LIST_CHARS_MAX)}…` : text
}
