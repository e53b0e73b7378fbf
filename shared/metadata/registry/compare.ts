import { canonicalJson, type JsonValue } from '../../json.ts'
import type { JsonObject } from '../model/json-input.ts'
import { pointerOf } from '../model/problem.ts'
import { LIMITS, type Scalar, type SchemaNode } from './schema-node.ts'

/** minor: no reader and no writer notices · major: needs another major version · never: needs another name */
export type Verdict = 'minor' | 'major' | 'never'

/** What may be between two schemas, and between what two versions do with their records. */
export const VERDICTS = {
  'optional-property-added': 'minor',
  'open-enum-value-added': 'minor',
  'text-changed': 'minor',
  'rollup-added': 'minor',
  'kept-longer': 'minor',

  // In an object that was open, writers may have said anything under that name.
  'property-added-to-open-object': 'major',
  'required-property-added': 'major',
  'property-required': 'major',
  // Readers count on it.
  'property-not-required': 'major',
  'property-removed': 'major',
  'null-allowed': 'major',
  'null-refused': 'major',
  'values-restricted': 'major',
  'values-unrestricted': 'major',
  'enum-value-added': 'major',
  'enum-value-removed': 'major',
  'enum-opened': 'major',
  'enum-closed': 'major',
  'limit-tightened': 'major',
  'limit-relaxed': 'major',
  'format-changed': 'major',
  'object-opened': 'major',
  'object-closed': 'major',
  'additional-properties-changed': 'major',
  'items-restricted': 'major',
  'items-unrestricted': 'major',
  // A unit or a meaning, as far as anybody can tell.
  'extension-changed': 'major',
  'outcomes-added': 'major',
  'outcome-added': 'major',
  'facet-added': 'major',
  'rollup-removed': 'major',

  'type-changed': 'never',
  'reserved-name': 'never',
  'outcomes-removed': 'never',
  'outcome-removed': 'never',
  'facet-removed': 'never',
  'kept-shorter': 'never',
} as const satisfies Record<string, Verdict>

export type Change = keyof typeof VERDICTS

export type Difference = {
  /** JSON pointer into the newer schema; of what is gone, into the older one. */
  readonly pointer: string
  readonly change: Change
  readonly verdict: Verdict
}

type Tell = (path: readonly PropertyKey[], change: Change) => void

/** One entry for each keyword of each property; takes as long as both schemas are large. Pointers below `path`. */
export function compareSchemas(
  older: SchemaNode,
  newer: SchemaNode,
  path: readonly PropertyKey[] = [],
): readonly Difference[] {
  const differences: Difference[] = []
  const tell: Tell = (at, change) => differences.push({ pointer: pointerOf(at), change, verdict: VERDICTS[change] })
  compareNodes(older, newer, path, tell)
  return differences
}

function compareNodes(older: SchemaNode, newer: SchemaNode, path: readonly PropertyKey[], tell: Tell): void {
  // Nothing below it can be compared.
  if (typesOf(older) !== typesOf(newer)) {
    tell([...path, 'type'], 'type-changed')
    return
  }
  const [had, has] = [older.types.has('null'), newer.types.has('null')]
  if (had !== has) tell([...path, 'type'], has ? 'null-allowed' : 'null-refused')
  compareValues(older, newer, path, tell)
  for (const limit of LIMITS) {
    const change = limitChange(older.limits[limit], newer.limits[limit], limit.startsWith('min'))
    if (change !== null) tell([...path, limit], change)
  }
  if (older.format !== newer.format) tell([...path, 'format'], 'format-changed')
  compareProperties(older, newer, path, tell)
  compareAdditional(older, newer, [...path, 'additionalProperties'], tell)
  if (older.items !== null && newer.items !== null) compareNodes(older.items, newer.items, [...path, 'items'], tell)
  else if (older.items !== newer.items) {
    tell([...path, 'items'], older.items === null ? 'items-restricted' : 'items-unrestricted')
  }
  for (const name of changedNames(older.text, newer.text)) tell([...path, name], 'text-changed')
  for (const name of changedNames(older.extensions, newer.extensions)) tell([...path, name], 'extension-changed')
}

/** What a name is. Whether it may also be null is another question. */
function typesOf({ types }: SchemaNode): string {
  return [...types]
    .filter((type) => type !== 'null')
    .sort()
    .join(' ')
}

function compareValues(older: SchemaNode, newer: SchemaNode, path: readonly PropertyKey[], tell: Tell): void {
  const [before, after] = [older.values, newer.values]
  if (before === null && after === null) return
  const at = [...path, 'enum']
  if (before === null || after === null) {
    tell(at, before === null ? 'values-restricted' : 'values-unrestricted')
    return
  }
  if (older.openEnum !== newer.openEnum) tell([...path, 'x-open-enum'], newer.openEnum ? 'enum-opened' : 'enum-closed')
  if (hasMore(before, after)) tell(at, 'enum-value-removed')
  if (hasMore(after, before)) tell(at, older.openEnum && newer.openEnum ? 'open-enum-value-added' : 'enum-value-added')
}

function hasMore(some: ReadonlySet<Scalar>, others: ReadonlySet<Scalar>): boolean {
  return [...some].some((value) => !others.has(value))
}

function limitChange(before: number | undefined, after: number | undefined, isLeast: boolean): Change | null {
  if (before === after) return null
  if (before === undefined) return 'limit-tightened'
  if (after === undefined) return 'limit-relaxed'
  return after > before === isLeast ? 'limit-tightened' : 'limit-relaxed'
}

function compareProperties(older: SchemaNode, newer: SchemaNode, path: readonly PropertyKey[], tell: Tell): void {
  for (const [name, before] of older.properties) {
    const at = [...path, 'properties', name]
    const after = newer.properties.get(name)
    if (after === undefined) {
      tell(at, 'property-removed')
      continue
    }
    compareNodes(before, after, at, tell)
    const [was, is] = [older.required.has(name), newer.required.has(name)]
    if (was !== is) tell(at, is ? 'property-required' : 'property-not-required')
  }
  for (const name of newer.properties.keys()) {
    if (older.properties.has(name)) continue
    const change = newer.required.has(name) ? 'required-property-added' : 'optional-property-added'
    const open = older.additional !== 'closed'
    tell([...path, 'properties', name], open ? 'property-added-to-open-object' : change)
  }
}

function compareAdditional(
  { additional: before }: SchemaNode,
  { additional: after }: SchemaNode,
  path: readonly PropertyKey[],
  tell: Tell,
): void {
  if (before === after) return
  if (before === 'closed') tell(path, 'object-opened')
  else if (after === 'closed') tell(path, 'object-closed')
  else if (before === 'open' || after === 'open') tell(path, 'additional-properties-changed')
  else compareNodes(before, after, path, tell)
}

function changedNames(before: JsonObject, after: JsonObject): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names.filter((name) => textOf(before, name) !== textOf(after, name))
}

function textOf(object: JsonObject, name: string): string | undefined {
  const value: JsonValue | undefined = Object.hasOwn(object, name) ? object[name] : undefined
  return value === undefined ? undefined : canonicalJson(value)
}

/** Every name of a property, as pointers below `path`: what a later version may not use for something else. */
export function namesOf(schema: SchemaNode, path: readonly PropertyKey[] = []): ReadonlySet<string> {
  const names = new Set<string>()
  const collect = (node: SchemaNode, at: readonly PropertyKey[]): void => {
    for (const [name, inner] of node.properties) {
      names.add(pointerOf([...at, 'properties', name]))
      collect(inner, [...at, 'properties', name])
    }
    if (typeof node.additional !== 'string') collect(node.additional, [...at, 'additionalProperties'])
    if (node.items !== null) collect(node.items, [...at, 'items'])
  }
  collect(schema, path)
  return names
}
