import { parseRateLimitResetMs, parseRetryAfterMs } from '../http/retry-after.ts'
import { sample } from '../json.ts'
import type { PageVerdict, ProviderAnswer } from './contract.ts'
import { parseJson } from './lossless-json.ts'

export type Refusal = Exclude<PageVerdict, { kind: 'page' }>

/** What a source's `page` and `records` both begin with: the one JSON object of a body, or why there is none. */
export type ParsedBody =
  | { readonly ok: true; readonly object: JsonObject }
  | { readonly ok: false; readonly refusal: Refusal }

/** Values are what JSON.parse gives, but integers that a double does not hold are bigint. */
export type JsonObject = Readonly<Record<string, unknown>>

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The verdict of an answer whose status is no 2xx; undefined for one that may hold a page. */
export function refusalOf(answer: ProviderAnswer): Refusal | undefined {
  if (answer.status >= 200 && answer.status < 300) return undefined
  return refusalOfStatus(answer.status, answer.headers, `expected http 200, got ${answer.status}${messageOf(answer)}`)
}

/** Also for sources whose providers put such a status inside an answer with HTTP 200. */
export function refusalOfStatus(status: number, headers: ProviderAnswer['headers'], detail: string): Refusal {
  if (status === 429) {
    const retryAfterMs = parseRetryAfterMs(headers) ?? parseRateLimitResetMs(headers) ?? null
    return { kind: 'throttled', retryAfterMs, detail }
  }
  if (status === 401 || status === 403) return { kind: 'auth', detail }
  if (status === 408 || (status >= 500 && status < 600)) return { kind: 'unavailable', detail }
  if (status >= 400 && status < 500) return { kind: 'refused', detail }
  return { kind: 'broken', detail }
}

/**
 * The object that the body holds. A body that was cut would be whole another time: unavailable. One that was never
 * JSON, or is JSON of another type, is broken. `contentType` is only named in the detail: servers lie in it.
 */
export function parseJsonObject(body: Uint8Array, contentType?: string): ParsedBody {
  const refuse = (kind: 'broken' | 'unavailable', came: string, shown?: string): ParsedBody => {
    const place = contentType === undefined ? `${body.length} bytes` : `${contentType}, ${body.length} bytes`
    const detail = `expected a json object, got ${came} (${place})${shown === undefined ? '' : `: ${shown}`}`
    return { ok: false, refusal: { kind, detail } }
  }
  const text = decodeUtf8(body)
  const start = (text ?? new TextDecoder().decode(body)).trimStart()
  if (start === '') return refuse('unavailable', 'an empty body')
  if (start.startsWith('<')) {
    return refuse('broken', /<html|<!doctype html/i.test(start.slice(0, 1_000)) ? 'html' : 'markup')
  }
  const parsed = text === undefined ? undefined : parseJson(text)
  if (parsed === undefined) {
    if (isCut(start)) return refuse('unavailable', 'json that was cut')
    if (text === undefined) return refuse('broken', 'bytes that are no utf-8')
    return refuse('broken', /^[[{]/.test(start) ? 'malformed json' : 'text', shownText(start))
  }
  if (isJsonObject(parsed.value)) return { ok: true, object: parsed.value }
  return refuse('broken', typeName(parsed.value))
}

/** `an array`, `null`, `a string` …: what came, in a message that must not show all of it. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'none'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'bigint' ? 'a number' : `a ${typeof value}`
}

/** Not fatal decoding would put U+FFFD in place of damaged bytes, and nobody would know. A byte order mark is skipped. */
function decodeUtf8(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return undefined
  }
}

/** Starts as an object or an array and ends before all of its brackets are closed. */
function isCut(text: string): boolean {
  if (!/^[[{]/.test(text)) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') depth--
    else if (char === '"') {
      at++
      while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
      if (at >= text.length) return true
    }
    if (depth === 0) return false
  }
  return true
}

const MESSAGE_CHARS_MAX = 200

/** What the provider says of its refusal, if it says it in JSON: an error page may quote the request, key and all. */
function messageOf({ body }: ProviderAnswer): string {
  const parsed = parseJsonObject(body)
  if (!parsed.ok) return ''
  const { message, error, error_message: errorMessage } = parsed.object
  const text = [message, error, errorMessage].find((value) => typeof value === 'string' && value !== '')
  return typeof text === 'string' ? `: ${shownText(text)}` : ''
}

/** A piece of the provider's text, without what looks like a key that it was called with. */
export function shownText(text: string): string {
  const masked = text
    .slice(0, 4 * MESSAGE_CHARS_MAX)
    .replaceAll(
      /((?:key|token|secret|password|signature)(?:[_-]?id)?(?:["']?\s*=|["']\s*:|:)\s*["']?)[^\s&"',;]+/gi,
      '$1[redacted]',
    )
  return sample(masked, MESSAGE_CHARS_MAX)
}

/** A value in a message: numbers, truth values and text as they came, of anything else what it is. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return typeof value === 'string' ? JSON.stringify(shownText(value)) : typeName(value)
}
