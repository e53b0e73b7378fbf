/** What another type means to those who read a column. */
export type TypeChange =
  /** Another spelling at most. */
  | { readonly kind: 'same' }
  /** Holds all that it held, in the same form. */
  | { readonly kind: 'wider' }
  /** Of an enum. */
  | { readonly kind: 'values'; readonly added: readonly string[]; readonly removed: readonly string[] }
  | { readonly kind: 'collation' }
  | { readonly kind: 'broken'; readonly reason: string }

// Maps: `constructor` is the name of a type like any other.
const ALIASES = new Map([
  ['varchar', 'character varying'],
  ['bpchar', 'character'],
  ['char', 'character'],
  ['int2', 'smallint'],
  ['int', 'integer'],
  ['int4', 'integer'],
  ['int8', 'bigint'],
  ['decimal', 'numeric'],
  ['float4', 'real'],
  ['float8', 'double precision'],
  ['bool', 'boolean'],
  ['varbit', 'bit varying'],
  ['timestamptz', 'timestamp'],
  ['timetz', 'time'],
])

const BYTES_OF_INTEGERS = new Map([
  ['int(8)', 1],
  ['int(16)', 2],
  ['smallint', 2],
  ['int32', 4],
  ['integer', 4],
  ['int64', 8],
  ['bigint', 8],
])
const BYTES_OF_FLOATS = new Map([
  ['real', 4],
  ['float', 4],
  ['double precision', 8],
  ['double', 8],
])
const DIGITS_OF_INTEGERS = new Map([
  [1, 3],
  [2, 5],
  [4, 10],
  [8, 19],
])

/** Of PostgreSQL's `timestamp` without a number. */
const PRECISION_MAX = 6

// White space is one blank before this is asked: with `\s*` in three places it would take n³ steps.
const SPELLED = /^([a-z_][a-z0-9_ ]*?) ?(?:\(([^()]*)\))? ?((?:with|without) time zone)?((?:\[\])*)$/i
const COLLATED = /^(.*?)(?: collate (.+))?$/s
const ENUM = /^enum .*?(\[.*\])$/s

type Form =
  | { readonly family: 'integer' | 'float'; readonly bytes: number }
  | { readonly family: 'numeric'; readonly whole: number; readonly scale: number }
  | { readonly family: 'text'; readonly length: number }
  | { readonly family: 'timestamp' | 'time'; readonly zone: string; readonly unit: string; readonly precision: number }
  | { readonly family: 'enum'; readonly values: readonly string[] | null }
  | { readonly family: 'list'; readonly item: string }
  | { readonly family: 'other'; readonly text: string }

/** One spelling per type: `varchar(5)` is `character varying(5)`. What it does not know stays as it is. */
export function canonicalType(text: string): string {
  const plain = text.trim().replaceAll(/\s+/g, ' ')
  const [matched, base = '', sizes, zone, lists = ''] = SPELLED.exec(plain) ?? []
  if (matched === undefined) return plain
  const name = base.toLowerCase()
  const known = ALIASES.get(name) ?? name
  const size = sizes === undefined ? '' : `(${sizes.replaceAll(' ', '').replaceAll(',', ', ')})`
  return `${known}${size}${zoneOf(name, zone?.toLowerCase(), size)}${lists}`
}

/** PostgreSQL's without a word is without; Parquet's stands in the brackets. */
function zoneOf(name: string, zone: string | undefined, size: string): string {
  if (name === 'timestamptz' || name === 'timetz') return ' with time zone'
  if (zone !== undefined) return ` ${zone}`
  return (name === 'timestamp' || name === 'time') && !/[a-z]/i.test(size) ? ' without time zone' : ''
}

export function compareTypes(before: string, after: string): TypeChange {
  const [, plainBefore = before, collationBefore] = COLLATED.exec(before) ?? []
  const [, plainAfter = after, collationAfter] = COLLATED.exec(after) ?? []
  const change = comparePlain(canonicalType(plainBefore), canonicalType(plainAfter))
  if (change.kind !== 'same' && change.kind !== 'wider') return change
  return collationBefore === collationAfter ? change : { kind: 'collation' }
}

function comparePlain(before: string, after: string): TypeChange {
  if (before === after) return { kind: 'same' }
  const a = formOf(before)
  const b = formOf(after)
  if (a.family === 'list' && b.family === 'list') return comparePlain(a.item, b.item)
  if (a.family === 'enum' && b.family === 'enum') return compareValues(a.values, b.values)
  if (isTime(a) && isTime(b)) return compareTimes(a, b)
  return sizeChange(a, b) ?? { kind: 'broken', reason: 'another family of types' }
}

/** The name of an enum says nothing, the order of its values does. Of too many only a hash is told. */
function compareValues(before: readonly string[] | null, after: readonly string[] | null): TypeChange {
  if (before === null || after === null) return { kind: 'values', added: [], removed: [] }
  if (before.length === after.length && before.every((value, at) => value === after[at])) return SAME
  return {
    kind: 'values',
    added: after.filter((value) => !before.includes(value)),
    removed: before.filter((value) => !after.includes(value)),
  }
}

function isTime(form: Form): form is Extract<Form, { family: 'timestamp' | 'time' }> {
  return form.family === 'timestamp' || form.family === 'time'
}

function compareTimes(a: Extract<Form, { zone: string }>, b: Extract<Form, { zone: string }>): TypeChange {
  if (a.family !== b.family) return { kind: 'broken', reason: 'another family of types' }
  if (a.zone !== b.zone) return { kind: 'broken', reason: 'zone changed: the same text is another instant' }
  if (a.unit !== b.unit) return { kind: 'broken', reason: 'unit changed: the same number is another instant' }
  return bySize(b.precision - a.precision)
}

function sizeChange(a: Form, b: Form): TypeChange | null {
  if (a.family === 'integer' && b.family === 'integer') return bySize(b.bytes - a.bytes)
  if (a.family === 'float' && b.family === 'float') return bySize(b.bytes - a.bytes)
  // Infinity − Infinity is no number.
  if (a.family === 'text' && b.family === 'text') return a.length === b.length ? SAME : bySize(b.length - a.length)
  if (b.family !== 'numeric') return null
  if (a.family === 'integer') return bySize(b.whole >= (DIGITS_OF_INTEGERS.get(a.bytes) ?? b.whole + 1) ? 1 : -1)
  if (a.family !== 'numeric') return null
  if (a.whole === b.whole && a.scale === b.scale) return SAME
  return bySize(b.whole >= a.whole && b.scale >= a.scale ? 1 : -1)
}

const SAME: TypeChange = { kind: 'same' }

function bySize(growth: number): TypeChange {
  if (growth === 0) return SAME
  return growth > 0 ? { kind: 'wider' } : { kind: 'broken', reason: 'narrowed: length, precision or scale reduced' }
}

function formOf(type: string): Form {
  if (type.endsWith('[]')) return { family: 'list', item: type.slice(0, -2) }
  if (type.startsWith('enum ')) return { family: 'enum', values: valuesOfEnum(type) }
  const [, base = type, sizes = '', zone = ''] = SPELLED.exec(type) ?? []
  const integer = BYTES_OF_INTEGERS.get(type)
  if (integer !== undefined) return { family: 'integer', bytes: integer }
  const float = BYTES_OF_FLOATS.get(type)
  if (float !== undefined) return { family: 'float', bytes: float }
  const [first, second] = sizes.split(', ')
  if (base === 'numeric') {
    if (!first) return { family: 'numeric', whole: Infinity, scale: Infinity }
    const scale = Number(second ?? 0)
    return { family: 'numeric', whole: Number(first) - scale, scale }
  }
  if (type === 'text' || type === 'string') return { family: 'text', length: Infinity }
  if (base === 'character varying') return { family: 'text', length: first ? Number(first) : Infinity }
  if (base !== 'timestamp' && base !== 'time') return { family: 'other', text: type }
  // Of PostgreSQL a number of digits; of Parquet a unit and whether it is UTC.
  if (second !== undefined) return { family: base, zone: second, unit: first ?? '', precision: 0 }
  return { family: base, zone, unit: '', precision: first ? Number(first) : PRECISION_MAX }
}

function valuesOfEnum(type: string): readonly string[] | null {
  const [, json] = ENUM.exec(type) ?? []
  if (json === undefined) return null
  try {
    const values: unknown = JSON.parse(json)
    return Array.isArray(values) ? values.map(String) : null
  } catch {
    return null
  }
}
