import { z } from 'zod'
import { type JsonValue, sample } from '../../json.ts'
import type { JsonObject } from '../model/json-input.ts'
import { type FieldError, fieldErrors, pointerOf } from '../model/problem.ts'
import { isObject, isOfType, isScalar, JSON_TYPES, type Scalar } from './schema-node.ts'

export const OPEN_ENUM = 'x-open-enum'
const EXTENSION = /^x-[a-z0-9][a-z0-9-]{0,62}$/

const type = z.enum(JSON_TYPES)
const scalar = z.custom<Scalar>(isScalar, 'expected text, a number, a boolean or null')
const count = z.int().min(0).optional()
const subschema = z.custom<JsonObject>(isObject, 'expected a schema: an object')
// It was read as JSON before.
const json = z.custom<JsonValue>((value) => value !== undefined)
const ENUM_MAX = 1_000

/** All that a schema may say besides x-*. No `$ref`, no `pattern`, no combinators. */
const keywords = z.strictObject({
  // Asked for everywhere: where there was none, a type could be added by a minor version to what was anything.
  type: z
    .union([type, z.array(type).min(1)], `expected one of ${JSON_TYPES.join(', ')}, or several`)
    .transform((types) => new Set(Array.isArray(types) ? types : [types])),
  properties: z.record(z.string().min(1).max(256), subschema).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.union([z.boolean(), subschema], 'expected true, false or a schema').optional(),
  items: subschema.optional(),
  enum: z.array(scalar).min(1).max(ENUM_MAX).optional(),
  const: scalar.optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  minLength: count,
  maxLength: count,
  minItems: count,
  maxItems: count,
  format: z.enum(['date-time', 'uuid']).optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  examples: z.array(json).optional(),
  deprecated: z.boolean().optional(),
})

export type Keywords = z.output<typeof keywords>

/** A keyword that cannot apply is a mistake of who wrote it, and JSON Schema would not tell. */
const APPLIES_TO = [
  ['object', ['properties', 'required', 'additionalProperties']],
  ['array', ['items', 'minItems', 'maxItems']],
  ['number', ['minimum', 'maximum']],
  ['string', ['minLength', 'maxLength', 'format']],
] as const

const RANGES = [
  ['minimum', 'maximum'],
  ['minLength', 'maxLength'],
  ['minItems', 'maxItems'],
] as const

export type ReadKeywords = {
  /** Null: there are errors. */
  readonly keywords: Keywords | null
  readonly openEnum: boolean
  readonly extensions: JsonObject
  readonly errors: readonly FieldError[]
}

/** What one node of a schema says, without its children. Errors have pointers below `path`. */
export function readKeywords(node: JsonObject, path: readonly PropertyKey[]): ReadKeywords {
  const entries = Object.entries(node)
  const extensions = Object.fromEntries(entries.filter(([name]) => EXTENSION.test(name) && name !== OPEN_ENUM))
  const open = node[OPEN_ENUM]
  const plain = entries.filter(([name]) => name !== OPEN_ENUM && !EXTENSION.test(name))
  const parsed = keywords.safeParse(Object.fromEntries(plain))
  const errors: FieldError[] = []
  const refuse = (keyword: string, detail: string, ...more: PropertyKey[]) =>
    errors.push({ pointer: pointerOf([...path, keyword, ...more]), code: keyword, detail })
  if (open !== undefined && open !== true) refuse(OPEN_ENUM, `expected true, got ${sample(open, 40)}`)
  if (!parsed.success) {
    errors.push(...fieldErrors(parsed.error, path).map(namedKeyword))
    return { keywords: null, openEnum: false, extensions, errors }
  }
  checkTogether(parsed.data, open === true, refuse)
  return { keywords: errors.length === 0 ? parsed.data : null, openEnum: open === true, extensions, errors }
}

function namedKeyword(error: FieldError): FieldError {
  if (error.code !== 'unrecognized_keys') return error
  const detail = `expected one of ${Object.keys(keywords.shape).join(', ')} or x-*`
  return { ...error, code: 'keyword', detail }
}

type Refuse = (keyword: string, detail: string, ...more: PropertyKey[]) => void

/** What one keyword asks of another. */
function checkTogether(said: Keywords, open: boolean, refuse: Refuse): void {
  const types = [...said.type].join(' or ')
  for (const [type, applying] of APPLIES_TO) {
    if (said.type.has(type) || (type === 'number' && said.type.has('integer'))) continue
    for (const keyword of applying) {
      if (said[keyword] !== undefined) refuse(keyword, `expected only with type ${type}, got ${types}`)
    }
  }
  for (const [index, name] of (said.required ?? []).entries()) {
    if (Object.hasOwn(said.properties ?? {}, name)) continue
    refuse('required', `expected one of the properties, got ${sample(name, 40)}`, index)
  }
  for (const [least, most] of RANGES) {
    const [from, to] = [said[least], said[most]]
    if (from !== undefined && to !== undefined && from > to) refuse(least, `expected at most ${to}, got ${from}`)
  }
  if (said.enum !== undefined && said.const !== undefined) refuse('const', 'expected only one of enum and const')
  if (said.enum !== undefined && new Set(said.enum).size < said.enum.length) refuse('enum', 'expected different values')
  for (const [index, value] of (said.enum ?? []).entries()) {
    if (!isOfType(value, said.type)) refuse('enum', `expected ${types}, got ${sample(value, 40)}`, index)
  }
  if (said.const !== undefined && !isOfType(said.const, said.type)) {
    refuse('const', `expected ${types}, got ${sample(said.const, 40)}`)
  }
  if (open && said.enum?.every((value) => typeof value === 'string') !== true) {
    refuse(OPEN_ENUM, 'expected only with an enum of texts')
  }
}
