import type { Instant } from '../../instant.ts'
import type { JsonValue } from '../../json.ts'
import { instantText } from './instant-text.ts'
import { DEPTH_MAX, type JsonObject } from './json-input.ts'
import type { BuiltInKind } from './kind.ts'
import type { MetadataContext, MetadataLinks, MetadataTarget, NewMetadataRecord } from './record.ts'

/** What a producer knows; instants are µs. */
export type RecordParts<Payload> = {
  readonly kind: BuiltInKind<Payload>
  readonly target: MetadataTarget
  readonly context: MetadataContext
  readonly payload: Payload
  readonly producerId: string
  readonly producedAt: Instant
  readonly scope?: string
  readonly window?: { readonly start: Instant; readonly end: Instant }
  readonly outcome?: string
  readonly revision?: number
  readonly quality?: 'live' | 'backfilled' | 'estimated'
  readonly links?: MetadataLinks
  readonly extras?: Readonly<Record<string, unknown>>
  readonly key?: string
}

/** A record of the newest version of its kind, written as every producer writes it, with all its text made storable. */
export function buildRecord<Payload>(parts: RecordParts<Payload>): NewMetadataRecord {
  const { kind, target, context, payload, producedAt, window, links, extras, ...rest } = parts
  return {
    ...rest,
    kind: kind.kind,
    kindVersion: kind.versions.at(-1) ?? '1.0',
    target: { ...target, ...cleanNames(target) },
    context,
    payload: cleanObject(payload),
    producedAt: instantText(producedAt),
    ...(window && { window: { start: instantText(window.start), end: instantText(window.end) } }),
    ...(links && { links }),
    ...(extras && { extras: cleanObject(extras) }),
  }
}

function cleanNames({ sourceId, schema, table }: MetadataTarget) {
  return { sourceId: cleanText(sourceId), schema: cleanText(schema), table: cleanText(table) }
}

/** Nothing that jsonb refuses: no NUL, no lone surrogate. */
export function cleanText(text: string): string {
  return text.replaceAll('\u0000', '\uFFFD').toWellFormed()
}

/**
 * Any value as JSON that `readJson` takes: bigints and integers above 2^53 as text, numbers that are none as null, what
 * nests too deeply as `…`, names that objects inherit with a `_` after them. For what others wrote: error messages,
 * parameters, names of columns.
 */
export function cleanJson(value: unknown, depth = 2): JsonValue {
  if (value === null || value === undefined || typeof value === 'boolean') return value ?? null
  if (typeof value === 'string') return cleanText(value)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
  if (typeof value === 'number') return cleanNumber(value)
  if (typeof value !== 'object') return cleanText(String(value))
  // A payload lies one level below its record.
  if (depth >= DEPTH_MAX) return '…'
  if (Array.isArray(value)) return Array.from(value, (item: unknown) => cleanJson(item, depth + 1))
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  const clean: Record<string, JsonValue> = {}
  for (const [name, item] of Object.entries(value)) {
    if (item !== undefined) clean[cleanName(name)] = cleanJson(item, depth + 1)
  }
  return clean
}

function cleanObject(value: unknown): JsonObject {
  const clean = cleanJson(value)
  return typeof clean === 'object' && clean !== null && !Array.isArray(clean) ? (clean as JsonObject) : { value: clean }
}

function cleanNumber(value: number): number | string | null {
  if (!Number.isFinite(value)) return null
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value).toString() : value
}

function cleanName(name: string): string {
  const clean = cleanText(name)
  return clean === '__proto__' || clean === 'constructor' || clean === 'prototype' ? `${clean}_` : clean
}
