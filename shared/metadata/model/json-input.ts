import type { JsonValue } from '../../json.ts'
import { type FieldError, pointerOf } from './problem.ts'

export type JsonObject = { readonly [key: string]: JsonValue }

export const DEPTH_MAX = 32
/** Of a record as canonical JSON in UTF-8. */
export const RECORD_BYTES_MAX = 256 * 1024
/** A record of the largest size cannot hold more values; a graph with shared or circular parts can. */
const VALUES_MAX = RECORD_BYTES_MAX / 2
const ERRORS_MAX = 20

/** They name what every object inherits: readers in JavaScript would read something else, or write there. */
const RESERVED_NAMES: readonly string[] = ['__proto__', 'constructor', 'prototype']

export type JsonInput =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly errors: readonly FieldError[] }

/**
 * A copy of `input` if PostgreSQL's jsonb and every JSON reader take it for the same value: plain objects and arrays at
 * most 32 deep, strings without NUL and lone surrogates, finite numbers, integers up to 2^53. Properties that are
 * undefined are left out, as JSON.stringify does.
 */
export function readJson(input: unknown): JsonInput {
  const errors: FieldError[] = []
  // One path for all, read only where something is wrong: a path per value took a third of the time.
  const path: PropertyKey[] = []
  let values = 0
  const refuse: Refuse = (code, detail) => {
    if (errors.length < ERRORS_MAX) errors.push({ pointer: pointerOf(path), code, detail })
    return null
  }
  const readText = (text: string): string => {
    if (text.includes('\u0000')) refuse('nul', 'expected text without NUL')
    if (!text.isWellFormed()) refuse('lone-surrogate', 'expected well-formed Unicode, got a lone surrogate')
    return text
  }
  const readObject = (object: object): JsonValue => {
    const copy: Record<string, JsonValue> = {}
    for (const [name, item] of Object.entries(object)) {
      if (item === undefined) continue
      path.push(name)
      if (RESERVED_NAMES.includes(name)) refuse('reserved-name', `expected another name than ${name}`)
      else copy[readText(name)] = read(item)
      path.pop()
    }
    return copy
  }
  const readArray = (array: readonly unknown[]): JsonValue => {
    if (array.length > VALUES_MAX) return refuse('too-many-values', `expected at most ${VALUES_MAX} values`)
    // Not map, which leaves holes.
    return Array.from(array, (item, index) => {
      path.push(index)
      const copy = read(item)
      path.pop()
      return copy
    })
  }
  const read = (value: unknown): JsonValue => {
    if (++values > VALUES_MAX) {
      return values === VALUES_MAX + 1 ? refuse('too-many-values', `expected at most ${VALUES_MAX} values`) : null
    }
    if (value === null || typeof value === 'boolean') return value
    if (typeof value === 'string') return readText(value)
    if (typeof value === 'number') return readNumber(value, refuse)
    if (typeof value !== 'object') return refuse('not-json', `expected JSON, got a ${typeof value}`)
    if (path.length >= DEPTH_MAX) return refuse('depth', `expected at most ${DEPTH_MAX} levels, got more`)
    if (Array.isArray(value)) return readArray(value)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null) return readObject(value)
    return refuse('not-json', 'expected a plain object or an array, got another object')
  }
  const value = read(input)
  return errors.length === 0 ? { ok: true, value } : { ok: false, errors }
}

type Refuse = (code: string, detail: string) => null

function readNumber(value: number, refuse: Refuse): number | null {
  if (!Number.isFinite(value)) return refuse('not-finite', `expected a finite number, got ${value}`)
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return refuse('unsafe-integer', `expected an integer of at most 2^53 (larger ones as text), got ${value}`)
  }
  return value
}

/** The same for JSON text. Looked at before it is parsed: JSON.parse runs out of stack where text is nested deeply. */
export function readJsonText(text: string): JsonInput {
  if (nestsDeeper(text, DEPTH_MAX)) {
    const detail = `expected at most ${DEPTH_MAX} levels, got more`
    return { ok: false, errors: [{ pointer: '', code: 'depth', detail }] }
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { ok: false, errors: [{ pointer: '', code: 'not-json', detail: 'expected JSON, got another text' }] }
  }
  return readJson(parsed)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

function nestsDeeper(text: string, depthMax: number): boolean {
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (quoted) {
      if (code === BACKSLASH) at++
      else if (code === QUOTE) quoted = false
    } else if (code === QUOTE) quoted = true
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > depthMax) return true
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--
  }
  return false
}
