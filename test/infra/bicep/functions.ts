import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

export type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [key: string]: Value }
  | Unknown
  | Lambda

/** What only Azure knows: its spelling says whose it is. */
export type Unknown = { readonly unknown: string }
export type Lambda = (value: Value) => Value

export type BicepFunction = (args: readonly Value[], folder: URL) => Value

export const isUnknown = (value: Value): value is Unknown =>
  typeof value === 'object' && value !== null && 'unknown' in value && typeof value.unknown === 'string'

export function text(value: Value | undefined): string {
  if (value !== undefined && value !== null && isUnknown(value)) return `<${value.unknown}>`
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new Error(`expected a text, got ${JSON.stringify(value)}`)
}

export function list(value: Value | undefined): readonly Value[] {
  if (Array.isArray(value)) return value
  throw new Error(`expected an array, got ${JSON.stringify(value)}`)
}

export function record(value: Value | undefined): Readonly<Record<string, Value>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !isUnknown(value)) {
    return value as Readonly<Record<string, Value>>
  }
  throw new Error(`expected an object, got ${JSON.stringify(value)}`)
}

function lambda(value: Value | undefined): Lambda {
  if (typeof value === 'function') return value
  throw new Error(`expected a lambda, got ${JSON.stringify(value)}`)
}

const hash = (texts: readonly string[]) => createHash('sha256').update(texts.join('\0')).digest('hex')

/** The functions that infra/ calls, as far as it needs them. */
export const FUNCTIONS: Readonly<Record<string, BicepFunction>> = {
  subscription: () => ({ id: '/subscriptions/sub' }),
  tenant: () => ({ tenantId: { unknown: 'tenant' } }),
  resourceGroup: () => ({ id: '/subscriptions/sub/resourceGroups/rg', location: 'westeurope', name: 'rg' }),
  environment: () => ({ suffixes: { storage: 'core.windows.net' } }),
  uniqueString: (args) => hash(args.map(text)).slice(0, 13),
  guid: (args) => hash(args.map(text)).slice(0, 32),
  subscriptionResourceId: ([type, ...names]) =>
    `/subscriptions/sub/providers/${text(type)}/${names.map(text).join('/')}`,
  resourceId: ([type, ...names]) => `/${text(type)}/${names.map(text).join('/')}`,
  loadTextContent: ([path], folder) => readFileSync(new URL(text(path), folder), 'utf8'),
  loadJsonContent: ([path], folder) => JSON.parse(readFileSync(new URL(text(path), folder), 'utf8')) as Value,
  toLower: ([value]) => text(value).toLowerCase(),
  replace: ([value, from, to]) => text(value).replaceAll(text(from), text(to)),
  split: ([value, by]) => text(value).split(text(by)),
  join: ([values, by]) => list(values).map(text).join(text(by)),
  startsWith: ([value, start]) => text(value).startsWith(text(start)),
  string: ([value]) => (typeof value === 'string' ? value : JSON.stringify(value)),
  json: ([value]) => JSON.parse(text(value)) as Value,
  concat: (args) => args.flatMap(list),
  flatten: ([values]) => list(values).flatMap(list),
  map: ([values, of]) => list(values).map((value) => lambda(of)(value)),
  filter: ([values, keep]) => list(values).filter((value) => lambda(keep)(value) === true),
  items: ([value]) =>
    Object.entries(record(value))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => ({ key, value: item })),
  toObject: ([values, key, value]) =>
    Object.fromEntries(list(values).map((item) => [text(lambda(key)(item)), lambda(value)(item)])),
  union: (args) =>
    Array.isArray(args[0])
      ? [...new Set(args.flatMap(list))]
      : Object.assign({}, ...args.map((value) => record(value))),
  empty: ([value]) =>
    value === null || value === '' || (Array.isArray(value) ? value : Object.keys(Object(value))).length === 0,
}
