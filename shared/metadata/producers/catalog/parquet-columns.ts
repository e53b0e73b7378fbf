import type { LogicalType, SchemaElement } from 'hyparquet'
import type { SchemaColumn } from '../../model/kinds/schema-snapshot.ts'

/** Deeper ones are cut: the text of a type is bounded. */
const DEPTH_MAX = 8

const PLAIN: Readonly<Record<string, string>> = {
  BOOLEAN: 'boolean',
  INT32: 'int32',
  INT64: 'int64',
  INT96: 'int96',
  FLOAT: 'float',
  DOUBLE: 'double',
  BYTE_ARRAY: 'binary',
}
const UNITS: Readonly<Record<string, string>> = { MILLIS: 'ms', MICROS: 'us', NANOS: 'ns' }
/** Files of old writers have no logical type. https://github.com/apache/parquet-format/blob/master/LogicalTypes.md */
const CONVERTED: Readonly<Record<string, string>> = {
  UTF8: 'string',
  ENUM: 'string',
  JSON: 'json',
  BSON: 'bson',
  DATE: 'date',
  TIME_MILLIS: 'time(ms, utc)',
  TIME_MICROS: 'time(us, utc)',
  TIMESTAMP_MILLIS: 'timestamp(ms, utc)',
  TIMESTAMP_MICROS: 'timestamp(us, utc)',
  INT_8: 'int(8)',
  INT_16: 'int(16)',
  INT_32: 'int32',
  INT_64: 'int64',
  UINT_8: 'uint(8)',
  UINT_16: 'uint(16)',
  UINT_32: 'uint(32)',
  UINT_64: 'uint(64)',
  INTERVAL: 'interval',
}

/** Columns of a file by its footer; `key` names those of the dataset's contract. A group is one column. */
export function parquetColumns(schema: readonly SchemaElement[], key: readonly string[]): readonly SchemaColumn[] {
  const [root] = schema
  const columns: SchemaColumn[] = []
  let at = 1
  for (let child = 0; child < (root?.num_children ?? 0); child++) {
    const element = elementAt(schema, at)
    const { text, next } = typeAt(schema, at, 0)
    columns.push({
      name: element.name,
      type: element.repetition_type === 'REPEATED' ? `${text}[]` : text,
      nullable: element.repetition_type === 'OPTIONAL',
      ...(key.includes(element.name) && { key: true }),
    })
    at = next
  }
  return columns
}

function typeAt(schema: readonly SchemaElement[], at: number, depth: number): { text: string; next: number } {
  const element = elementAt(schema, at)
  if (element.num_children === undefined) return { text: leafType(element), next: at + 1 }
  const parts: string[] = []
  let next = at + 1
  for (let child = 0; child < element.num_children; child++) {
    const { name, repetition_type = 'REQUIRED' } = elementAt(schema, next)
    const inner = typeAt(schema, next, depth + 1)
    if (depth < DEPTH_MAX) parts.push(`${name} ${repetition_type.toLowerCase()} ${inner.text}`)
    next = inner.next
  }
  return { text: `group<${parts.join(', ')}>`, next }
}

function leafType({ type, type_length, logical_type, converted_type, precision, scale }: SchemaElement): string {
  if (logical_type !== undefined) return logicalType(logical_type)
  if (converted_type === 'DECIMAL') return `numeric(${precision ?? 0}, ${scale ?? 0})`
  const converted = converted_type === undefined ? undefined : CONVERTED[converted_type]
  if (converted !== undefined) return converted
  return type === 'FIXED_LEN_BYTE_ARRAY' ? `fixed(${type_length ?? 0})` : (PLAIN[type ?? ''] ?? 'unknown')
}

function logicalType(logical: LogicalType): string {
  switch (logical.type) {
    case 'TIMESTAMP':
    case 'TIME':
      return `${logical.type.toLowerCase()}(${UNITS[logical.unit] ?? logical.unit}, ${logical.isAdjustedToUTC ? 'utc' : 'local'})`
    case 'INTEGER':
      if (!logical.isSigned) return `uint(${logical.bitWidth})`
      return logical.bitWidth >= 32 ? `int${logical.bitWidth}` : `int(${logical.bitWidth})`
    case 'DECIMAL':
      return `numeric(${logical.precision}, ${logical.scale})`
    case 'ENUM':
      return 'string'
    default:
      return logical.type.toLowerCase()
  }
}

function elementAt(schema: readonly SchemaElement[], at: number): SchemaElement {
  const element = schema[at]
  if (element === undefined) throw new Error(`parquet schema: expected an element ${at}, got ${schema.length} elements`)
  return element
}
