import type { JsonValue } from '../../json.ts'
import { readJsonText } from '../model/json-input.ts'
import { LINE_BYTES_MAX, type RawLine, rawLines } from './raw-lines.ts'

/** What stands in a file, with the line where it begins. */
export type FoundValue =
  | { readonly line: number; readonly ok: true; readonly value: JsonValue }
  | { readonly line: number; readonly ok: false; readonly reason: string }

/**
 * The values of JSON lines or of one JSON document, whichever the file is: it is a document where its first line is no
 * JSON by itself and all of it is. Of an array each item is a value.
 */
export async function* readValues(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number = LINE_BYTES_MAX,
): AsyncGenerator<FoundValue> {
  let held: RawLine[] | null = []
  let heldBytes = 0
  for await (const raw of rawLines(chunks, bytesMax)) {
    if (isBlank(raw)) continue
    if (held === null) {
      yield* itemsOf(parseLine(raw, bytesMax))
      continue
    }
    held.push(raw)
    heldBytes += raw.bytes === null ? bytesMax : raw.bytes.length + 1
    const first = held.length === 1 ? parseLine(raw, bytesMax) : null
    if (first?.ok !== true && heldBytes <= bytesMax) continue
    for (const one of held) yield* itemsOf(parseLine(one, bytesMax))
    held = null
  }
  if (held !== null && held.length > 0) yield* itemsOfAll(held, bytesMax)
}

function* itemsOfAll(held: readonly RawLine[], bytesMax: number): Generator<FoundValue> {
  const [first] = held
  const line = first?.line ?? 1
  const whole = held.flatMap(({ bytes }) => (bytes === null ? [] : [bytes, Buffer.from('\n')]))
  const document = parseBytes(line, Buffer.concat(whole))
  if (document.ok) return yield* itemsOf(document)
  const lines = held.map((raw) => parseLine(raw, bytesMax))
  // Of a document that was cut off no line says anything by itself: one complaint, not one per line.
  if (held.length > 1 && !lines.some((found) => found.ok && typeof found.value === 'object' && found.value !== null)) {
    return yield { line, ok: false, reason: 'expected JSON lines or one JSON document, got neither' }
  }
  for (const found of lines) yield* itemsOf(found)
}

function* itemsOf(found: FoundValue): Generator<FoundValue> {
  if (!found.ok || !Array.isArray(found.value)) return yield found
  for (const value of found.value) yield { line: found.line, ok: true, value }
}

function isBlank({ bytes }: RawLine): boolean {
  return bytes?.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d) === true
}

function parseLine({ line, bytes }: RawLine, bytesMax: number): FoundValue {
  if (bytes !== null) return parseBytes(line, bytes)
  return { line, ok: false, reason: `expected at most ${bytesMax} bytes in a line, got more` }
}

function parseBytes(line: number, bytes: Buffer): FoundValue {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return { line, ok: false, reason: 'expected UTF-8, got other bytes' }
  }
  const json = readJsonText(text)
  if (json.ok) return { line, ok: true, value: json.value }
  const [error] = json.errors
  return { line, ok: false, reason: `${error?.pointer ? `${error.pointer}: ` : ''}${error?.detail ?? 'expected JSON'}` }
}
