import type { JsonValue } from '../../json.ts'
import { isObject, type SchemaNode } from './schema-node.ts'

export const UNKNOWN = 'unknown'

/**
 * A payload as somebody sees it who was written for `schema`, whatever minor version it is of: properties that the
 * schema does not name are left out, and values that an open enum did not have yet are `unknown`.
 */
export function readerView(value: JsonValue, schema: SchemaNode): JsonValue {
  if (schema.openEnum && typeof value === 'string' && !schema.values?.has(value)) return UNKNOWN
  if (Array.isArray(value)) {
    const { items } = schema
    return items === null ? value : value.map((item: JsonValue) => readerView(item, items))
  }
  if (!isObject(value)) return value
  const seen: Record<string, JsonValue> = {}
  for (const [name, item] of Object.entries(value)) {
    const node = schema.properties.get(name) ?? schema.additional
    if (node === 'open') seen[name] = item
    else if (node !== 'closed') seen[name] = readerView(item, node)
  }
  return seen
}
