import type { JsonValue } from '../../json.ts'
import type { JsonObject } from '../model/json-input.ts'

export const JSON_TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
export type JsonType = (typeof JSON_TYPES)[number]

export type Scalar = string | number | boolean | null

export const LIMITS = ['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems'] as const
export type Limit = (typeof LIMITS)[number]

/**
 * A registered schema, once it was checked: JSON Schema 2020-12 without all that could make a check expensive or lead
 * elsewhere. A schema service was measured to freeze for 12.7 s on 91 bytes with `pattern`, and to generate code for
 * 4.7 s of nested combinators (apify/apify-mcp-server#991). Here nothing is compiled, and a check is linear.
 */
export type SchemaNode = {
  readonly types: ReadonlySet<JsonType>
  readonly properties: ReadonlyMap<string, SchemaNode>
  readonly required: ReadonlySet<string>
  /** What writers may say under names that are not in `properties`. */
  readonly additional: 'closed' | 'open' | SchemaNode
  /** Null: any. */
  readonly items: SchemaNode | null
  /** Of `enum` or `const`; null: any. */
  readonly values: ReadonlySet<Scalar> | null
  /** A minor version may add values; readers take one that they do not know for `unknown`. */
  readonly openEnum: boolean
  readonly limits: Readonly<Partial<Record<Limit, number>>>
  readonly format: 'date-time' | 'uuid' | null
  /** Tells people something and decides nothing: title, description, deprecated, examples. */
  readonly text: JsonObject
  /** x-* but x-open-enum: their meaning is their authors' to know. */
  readonly extensions: JsonObject
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isScalar(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

/** As JSON Schema names it; `integer` for whole numbers, which are numbers too. */
export function typeOf(value: JsonValue): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string') return 'string'
  return typeof value === 'boolean' ? 'boolean' : 'object'
}

export function isOfType(value: JsonValue, types: ReadonlySet<JsonType>): boolean {
  const type = typeOf(value)
  return types.has(type) || (type === 'integer' && types.has('number'))
}
