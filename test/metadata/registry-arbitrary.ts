import fc from 'fast-check'
import type { JsonValue } from '../../shared/json.ts'
import type { JsonObject } from '../../shared/metadata/model/json-input.ts'
import { readSchema } from '../../shared/metadata/registry/schema.ts'
import { isObject, type SchemaNode } from '../../shared/metadata/registry/schema-node.ts'

type Json = { [key: string]: unknown }

/** Throws what is wrong with it. */
export function schemaOf(json: unknown): SchemaNode {
  const read = readSchema(json)
  if (read.ok) return read.root
  throw new Error(`${JSON.stringify(read.errors)} in ${JSON.stringify(json)}`)
}

/** Few names, so that schemas and payloads meet. Every object inherits the last. */
const NAMES = ['a', 'b', 'extras', 'toString'] as const
const TEXTS = ['', 'x', 'y', 'z', 'longer', '𝄞𝄞', '2024-01-01T00:00:00Z', '0192f0c1-0000-7000-8000-000000000000']

const range = (least: string, most: string) =>
  fc
    .tuple(
      fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
      fc.option(fc.integer({ min: 2, max: 4 }), { nil: undefined }),
    )
    .map(([from, to]) => ({ ...(from !== undefined && { [least]: from }), ...(to !== undefined && { [most]: to }) }))

const nullable = (schema: Json): fc.Arbitrary<Json> =>
  fc.boolean().map((isNullable) => (isNullable ? { ...schema, type: [schema.type, 'null'] } : schema))

const { node, object } = fc.letrec<{ node: Json; object: Json }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc
      .oneof(
        range('minLength', 'maxLength').map((limits) => ({ type: 'string', ...limits })),
        fc.constantFrom('date-time', 'uuid').map((format) => ({ type: 'string', format })),
        fc
          .tuple(fc.subarray(['x', 'y', 'z'], { minLength: 1 }), fc.boolean())
          .map(([values, open]) => ({ type: 'string', enum: values, ...(open && { 'x-open-enum': true }) })),
        fc.constantFrom('x', 'y').map((value) => ({ type: 'string', const: value })),
        fc
          .tuple(fc.constantFrom('integer', 'number'), range('minimum', 'maximum'))
          .map(([type, limits]) => ({ type, ...limits })),
        fc.constant({ type: 'boolean' }),
      )
      .chain(nullable),
    fc
      .tuple(fc.option(tie('node'), { nil: undefined }), range('minItems', 'maxItems'))
      .map(([items, limits]) => ({ type: 'array', ...(items !== undefined && { items }), ...limits })),
    tie('object'),
  ),
  object: fc
    .tuple(
      fc.dictionary(fc.constantFrom(...NAMES), tie('node'), { maxKeys: 3 }),
      fc.subarray([...NAMES]),
      fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, fc.boolean(), tie('node')),
    )
    .map(([properties, required, additionalProperties]) => ({
      type: 'object',
      properties: { ...properties },
      required: required.filter((name) => Object.hasOwn(properties, name)),
      ...(additionalProperties !== undefined && { additionalProperties }),
    })),
}))

/** Schemas that may be registered. */
export const anySchema: fc.Arbitrary<Json> = object
export const anyNode: fc.Arbitrary<Json> = node

/** Numbers to choose by, one after the other: xorshift, a hundred times as fast as a stream of fast-check. */
export const choices: fc.Arbitrary<Choose> = fc.integer({ min: 1, max: 0x7fffffff }).map((seed) => {
  let state = seed
  return (options) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % options
  }
})
export type Choose = (options: number) => number

/** A payload that fits more often than not. */
export function payloadFor(schema: unknown, choose: Choose): JsonValue {
  if (!isObject(schema) || choose(25) === 0) return anything(choose)
  const { type, enum: values, items, properties, additionalProperties: additional, required } = schema
  if (schema.const !== undefined) return schema.const
  if (Array.isArray(values) && choose(6) > 0) return (values[choose(values.length)] as JsonValue) ?? null
  switch (Array.isArray(type) ? type[choose(type.length)] : type) {
    case 'object': {
      const named = Object.entries(isObject(properties) ? properties : {})
      const isRequired = (name: string) => Array.isArray(required) && required.includes(name)
      const said = named.filter(([name]) => (isRequired(name) ? choose(20) > 0 : choose(2) > 0))
      const others =
        choose(additional === undefined ? 15 : 2) === 0 ? [[NAMES[choose(NAMES.length)], additional] as const] : []
      return Object.fromEntries([...others, ...said].map(([name, inner]) => [name, payloadFor(inner, choose)]))
    }
    case 'array':
      return Array.from({ length: choose(4) }, () => payloadFor(items, choose))
    case 'string':
      return TEXTS[choose(TEXTS.length)] as string
    case 'integer':
      return choose(6) - 1
    case 'number':
      return (choose(12) - 2) / 2
    case 'boolean':
      return choose(2) === 0
    default:
      return null
  }
}

function anything(choose: Choose): JsonValue {
  const values: readonly JsonValue[] = [null, true, 0, 1.5, 'x', [], ['x', 1], {}, { a: 'x' }]
  return values[choose(values.length)] ?? null
}

/** What can be done to a node; null where it does not apply. */
const EDITS: readonly ((node: Json, choose: Choose) => Json | null)[] = [
  (node) => ({ ...node, description: 'another' }),
  (node) => ({ ...node, deprecated: true }),
  ...NAMES.map((name) => (node: Json, choose: Choose) => {
    if (!isObject(node.properties) || Object.hasOwn(node.properties, name)) return null
    const added = [{ type: 'string' }, { type: 'integer', minimum: 1 }, { type: 'object', properties: {} }][choose(3)]
    return { ...node, properties: { ...node.properties, [name]: added } }
  }),
  (node) => (Array.isArray(node.enum) ? { ...node, enum: [...new Set([...node.enum, 'x', 'added'])] } : null),
  (node) => (Array.isArray(node.enum) && node.enum.length > 1 ? { ...node, enum: node.enum.slice(1) } : null),
  (node) => (Array.isArray(node.enum) ? { ...node, 'x-open-enum': true } : null),
  (node) => (Array.isArray(node.enum) ? without(node, 'enum', 'x-open-enum') : null),
  ...[
    'minimum',
    'maximum',
    'minLength',
    'maxLength',
    'minItems',
    'maxItems',
    'format',
    'items',
    'additionalProperties',
  ].map((name) => (node: Json) => (name in node ? without(node, name) : null)),
  (node) => (node.type === 'object' ? { ...node, additionalProperties: false } : null),
  (node) => (node.type === 'object' ? { ...node, additionalProperties: true } : null),
  (node) => (isObject(node.properties) ? { ...node, required: Object.keys(node.properties) } : null),
  (node) => (node.type === 'object' ? { ...node, required: [] } : null),
  (node) => (node.type === 'integer' ? { ...node, type: 'number' } : null),
  (node) => (node.type === 'string' ? { ...node, type: ['string', 'null'] } : null),
  (node) => (node.type === 'string' && !('enum' in node) ? { ...node, maxLength: 2, minLength: 0 } : null),
  (node) => ('minimum' in node || 'maximum' in node ? { ...node, minimum: 1, maximum: 3 } : null),
]

function without(node: Json, ...names: readonly string[]): Json {
  return Object.fromEntries(Object.entries(node).filter(([name]) => !names.includes(name)))
}

/** The schema with one node of it edited, if the edit that was chosen applies to the node that was chosen. */
export function edited(schema: Json, choose: Choose): Json {
  const edit = EDITS[choose(EDITS.length)]
  const target = choose(countNodes(schema))
  let at = 0
  const walk = (node: Json): Json => {
    if (at++ === target) return edit?.(node, choose) ?? node
    return {
      ...node,
      ...(isObject(node.properties) && {
        properties: Object.fromEntries(
          Object.entries(node.properties).map(([name, inner]) => [name, walk(inner as JsonObject)]),
        ),
      }),
      ...(isObject(node.items) && { items: walk(node.items) }),
      ...(isObject(node.additionalProperties) && { additionalProperties: walk(node.additionalProperties) }),
    }
  }
  return walk(schema)
}

function countNodes(node: unknown): number {
  if (!isObject(node)) return 0
  const inner = [
    ...Object.values(isObject(node.properties) ? node.properties : {}),
    node.items,
    node.additionalProperties,
  ]
  return inner.reduce<number>((sum, one) => sum + countNodes(one), 1)
}
