import { ConfigError, toError } from '../../../../shared/errors.ts'
import { type JsonInput, readJson, readJsonText } from '../../../../shared/metadata/model/json-input.ts'

/** One value of a file, which may be none that can be stored. */
export type JsonItem = { readonly place: string; readonly input: JsonInput }

/** Of a document, and of one line: they are held in memory. */
const CHARS_MAX = 64 * 1024 * 1024

/**
 * The values of JSON lines, one at a time, or those of one JSON document: an array, or one object over any number of
 * lines. Throws ConfigError for what is neither.
 */
export async function* readJsonItems(name: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<JsonItem> {
  const lines = linesOf(name, chunks)
  const first = await firstFilled(lines)
  if (first === null) return
  if (isObjectText(first.text)) {
    yield itemOf(first)
    for await (const line of lines) if (line.text.trim() !== '') yield itemOf(line)
    return
  }
  const all = [first]
  let chars = first.text.length
  for await (const line of lines) {
    chars += line.text.length + 1
    if (chars > CHARS_MAX) throw tooLong(name)
    all.push(line)
  }
  yield* documentItems(name, all)
}

// Not with `for await`: leaving it would end the lines.
async function firstFilled(lines: AsyncGenerator<Line>): Promise<Line | null> {
  for (;;) {
    const next = await lines.next()
    if (next.done) return null
    if (next.value.text.trim() !== '') return next.value
  }
}

function* documentItems(name: string, lines: readonly Line[]): Generator<JsonItem> {
  const document = parse(lines.map(({ text }) => text).join('\n'))
  if (document !== undefined) {
    const values: readonly unknown[] = Array.isArray(document) ? document : [document]
    for (const [index, value] of values.entries()) yield { place: `record ${index + 1}`, input: readJson(value) }
    return
  }
  // Lines of which the first is broken.
  const filled = lines.filter(({ text }) => text.trim() !== '')
  if (!filled.some(({ text }) => isObjectText(text))) {
    throw new ConfigError([`${name}: expected a JSON object, an array of them or JSON lines, got another text`])
  }
  for (const line of filled) yield itemOf(line)
}

type Line = { readonly number: number; readonly text: string }

function itemOf({ number, text }: Line): JsonItem {
  return { place: `line ${number}`, input: readJsonText(text) }
}

async function* linesOf(name: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Uint8Array) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch (error) {
      throw new ConfigError([`${name}: expected text in UTF-8, got ${toError(error).message}`])
    }
  }
  let parts: string[] = []
  let chars = 0
  let number = 0
  for await (const chunk of chunks) {
    const [head = '', ...rest] = decode(chunk).split('\n')
    parts.push(head)
    chars += head.length
    if (chars > CHARS_MAX) throw tooLong(name)
    for (const next of rest) {
      yield { number: ++number, text: parts.join('') }
      parts = [next]
      chars = next.length
    }
  }
  const last = parts.join('') + decode()
  if (last !== '') yield { number: ++number, text: last }
}

function isObjectText(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return false
  return parse(text) !== undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function tooLong(name: string): ConfigError {
  return new ConfigError([`${name}: expected at most ${CHARS_MAX} characters of one document or line, got more`])
}
