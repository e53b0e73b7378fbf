import { parseInstant } from '../../instant.ts'
import { type JsonValue, sample } from '../../json.ts'
import type { JsonObject } from '../model/json-input.ts'
import { type FieldError, pointerOf } from '../model/problem.ts'
import { isObject, isOfType, isScalar, type Limit, type SchemaNode, typeOf } from './schema-node.ts'

const ERRORS_MAX = 20
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

type Refuse = (code: string, detail: string) => void

/**
 * All that is wrong with what a writer says, at most 20 of it; pointers below `path`. Every value is met once, so it
 * takes as long as the value is large. The value was read by `readJson`. Codes are the keywords of JSON Schema.
 */
export function schemaErrors(
  value: JsonValue,
  schema: SchemaNode,
  path: readonly PropertyKey[] = [],
): readonly FieldError[] {
  const errors: FieldError[] = []
  // One path for all, read only where something is wrong.
  const at = [...path]
  const refuse: Refuse = (code, detail) => {
    if (errors.length < ERRORS_MAX) errors.push({ pointer: pointerOf(at), code, detail })
  }
  const below = (name: PropertyKey, work: () => void) => {
    at.push(name)
    work()
    at.pop()
  }
  const check = (item: JsonValue, node: SchemaNode): void => {
    if (errors.length >= ERRORS_MAX) return
    const wrong = valueError(item, node)
    if (wrong !== null) refuse(...wrong)
    else if (typeof item === 'string') checkText(item, node, refuse)
    else if (typeof item === 'number') checkLimits(item, node, ['minimum', 'maximum'], '', refuse)
    else if (Array.isArray(item)) checkItems(item, node)
    else if (isObject(item)) checkObject(item, node)
  }
  const checkItems = (items: readonly JsonValue[], node: SchemaNode): void => {
    checkLimits(items.length, node, ['minItems', 'maxItems'], ' items', refuse)
    const { items: schema } = node
    if (schema === null) return
    for (const [index, item] of items.entries()) below(index, () => check(item, schema))
  }
  const checkObject = (object: JsonObject, node: SchemaNode): void => {
    for (const name of node.required) {
      // Every object inherits a `toString`.
      if (!Object.hasOwn(object, name)) below(name, () => refuse('required', 'expected a value, got none'))
    }
    for (const [name, item] of Object.entries(object)) {
      const schema = node.properties.get(name) ?? node.additional
      if (schema === 'open') continue
      below(name, () => {
        if (schema === 'closed') refuse('additionalProperties', 'expected no such property')
        else check(item, schema)
      })
    }
  }
  check(value, schema)
  return errors
}

function checkText(text: string, { limits, format }: SchemaNode, refuse: Refuse): void {
  // Counted only where it is asked for, in characters as JSON Schema does and not in units of UTF-16.
  if (limits.minLength !== undefined || limits.maxLength !== undefined) {
    checkLimits(charsOf(text), { limits }, ['minLength', 'maxLength'], ' characters', refuse)
  }
  if (format === 'date-time' && parseInstant(text) === undefined) {
    refuse('format', `expected an RFC 3339 instant, got ${sample(text, 40)}`)
  }
  if (format === 'uuid' && !UUID.test(text)) refuse('format', `expected a uuid, got ${sample(text, 40)}`)
}

function checkLimits(
  value: number,
  { limits }: Pick<SchemaNode, 'limits'>,
  [least, most]: readonly [Limit, Limit],
  unit: string,
  refuse: Refuse,
): void {
  const [from, to] = [limits[least], limits[most]]
  if (from !== undefined && value < from) refuse(least, `expected at least ${from}${unit}, got ${value}`)
  if (to !== undefined && value > to) refuse(most, `expected at most ${to}${unit}, got ${value}`)
}

function charsOf(text: string): number {
  let chars = 0
  for (const _ of text) chars++
  return chars
}

/** Where it is of another type, nothing else can be said about it. */
function valueError(item: JsonValue, { types, values }: SchemaNode): readonly ['type' | 'enum', string] | null {
  if (!isOfType(item, types)) return ['type', `expected ${[...types].join(' or ')}, got ${typeOf(item)}`]
  if (values === null || (isScalar(item) && values.has(item))) return null
  const expected = [...values].map((value) => JSON.stringify(value)).join(', ')
  return ['enum', `expected one of ${sample(expected)}, got ${sample(item, 40)}`]
}
