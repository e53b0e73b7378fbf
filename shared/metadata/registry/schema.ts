import { type JsonObject, readJson } from '../model/json-input.ts'
import { type FieldError, pointerOf } from '../model/problem.ts'
import { schemaErrors } from './interpret.ts'
import { type Keywords, readKeywords } from './keywords.ts'
import { isObject, LIMITS, type Scalar, type SchemaNode, typeOf } from './schema-node.ts'

export type ReadSchema =
  | { readonly ok: true; readonly root: SchemaNode; readonly json: JsonObject }
  | { readonly ok: false; readonly errors: readonly FieldError[] }

const BYTES_MAX = 64 * 1024
/** The payload itself is the first. */
const DEPTH_MAX = 8
const PROPERTIES_MAX = 500
const ERRORS_MAX = 20

/** Whatever a producer adds: objects of this name are open, as the extras of a record are. */
const OPEN_NAME = 'extras'

/** Whether `input` may be registered, with what is wrong about it where not: pointers below `path`. Throws nothing. */
export function readSchema(input: unknown, path: readonly PropertyKey[] = []): ReadSchema {
  const errors: FieldError[] = []
  const refuse = (code: string, detail: string, at = path) => errors.push({ pointer: pointerOf(at), code, detail })
  const read = readJson(input)
  if (!read.ok) {
    return { ok: false, errors: read.errors.map((error) => ({ ...error, pointer: pointerOf(path) + error.pointer })) }
  }
  const bytes = Buffer.byteLength(JSON.stringify(read.value))
  if (bytes > BYTES_MAX) refuse('too-large', `expected at most ${BYTES_MAX} bytes, got ${bytes}`)
  else if (!isObject(read.value)) refuse('type', `expected an object, got ${typeOf(read.value)}`)
  else {
    const root = readRoot(read.value, path, errors)
    if (errors.length === 0) return { ok: true, root, json: read.value }
  }
  return { ok: false, errors: errors.slice(0, ERRORS_MAX) }
}

function readRoot(json: JsonObject, path: readonly PropertyKey[], errors: FieldError[]): SchemaNode {
  let properties = 0
  const readNode = (node: JsonObject, at: readonly PropertyKey[], depth: number, name: string): SchemaNode => {
    if (depth > DEPTH_MAX) {
      errors.push({ pointer: pointerOf(at), code: 'depth', detail: `expected at most ${DEPTH_MAX} levels, got more` })
      return NOTHING
    }
    const read = readKeywords(node, at)
    errors.push(...read.errors)
    const { keywords, openEnum, extensions } = read
    if (keywords === null) return NOTHING
    const child = (inner: JsonObject, ...names: readonly [string, string?]) => {
      const [keyword, property] = names
      return readNode(
        inner,
        property === undefined ? [...at, keyword] : [...at, keyword, property],
        depth + 1,
        property ?? '',
      )
    }
    const named = Object.entries(keywords.properties ?? {})
    properties += named.length
    if (properties > PROPERTIES_MAX) {
      const detail = `expected at most ${PROPERTIES_MAX} properties, got more`
      errors.push({ pointer: pointerOf([...at, 'properties']), code: 'too-many-properties', detail })
      return NOTHING
    }
    const { additionalProperties: additional, items } = keywords
    const schema: SchemaNode = {
      ...plainParts(keywords),
      properties: new Map(named.map(([property, inner]) => [property, child(inner, 'properties', property)])),
      additional: isObject(additional) ? child(additional, 'additionalProperties') : openness(additional, name),
      items: items === undefined ? null : child(items, 'items'),
      openEnum,
      extensions,
    }
    if (errors.length === 0) checkExamples(keywords, schema, at, errors)
    return schema
  }
  const root = readNode(json, path, 1, '')
  if (errors.length === 0 && (root.types.size !== 1 || !root.types.has('object'))) {
    const detail = `expected object, as every payload is one, got ${[...root.types].join(', ')}`
    errors.push({ pointer: pointerOf([...path, 'type']), code: 'type', detail })
  }
  return root
}

function openness(said: boolean | undefined, name: string): 'open' | 'closed' {
  return (said ?? name === OPEN_NAME) ? 'open' : 'closed'
}

function plainParts(keywords: Keywords) {
  const { type, required = [], format = null, title, description, deprecated, examples } = keywords
  const values: readonly Scalar[] | null = keywords.enum ?? (keywords.const === undefined ? null : [keywords.const])
  const limits = LIMITS.flatMap((limit) => (keywords[limit] === undefined ? [] : [[limit, keywords[limit]]]))
  return {
    types: type,
    required: new Set(required),
    values: values && new Set(values),
    limits: Object.fromEntries(limits) as SchemaNode['limits'],
    format,
    text: {
      ...(title !== undefined && { title }),
      ...(description !== undefined && { description }),
      ...(deprecated !== undefined && { deprecated }),
      ...(examples !== undefined && { examples }),
    },
  }
}

function checkExamples(
  { examples = [] }: Keywords,
  schema: SchemaNode,
  path: readonly PropertyKey[],
  errors: FieldError[],
): void {
  for (const [index, example] of examples.entries()) {
    if (errors.length >= ERRORS_MAX) return
    errors.push(...schemaErrors(example, schema, [...path, 'examples', index]))
  }
}

/** Stands for what could not be read; there is an error for it. */
const NOTHING: SchemaNode = {
  types: new Set(),
  properties: new Map(),
  required: new Set(),
  additional: 'closed',
  items: null,
  values: null,
  openEnum: false,
  limits: {},
  format: null,
  text: {},
  extensions: {},
}

/** The same schema for validators that know only the standard: what is closed for writers says so. */
export function writerSchema(schema: JsonObject, name = ''): JsonObject {
  const { properties, items, additionalProperties: additional } = schema
  const type = Array.isArray(schema.type) ? schema.type : [schema.type]
  return {
    ...schema,
    ...(isObject(properties) && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([property, inner]) => [
          property,
          isObject(inner) ? writerSchema(inner, property) : inner,
        ]),
      ),
    }),
    ...(isObject(items) && { items: writerSchema(items) }),
    ...(isObject(additional)
      ? { additionalProperties: writerSchema(additional) }
      : type.includes('object') && { additionalProperties: additional ?? name === OPEN_NAME }),
  }
}
