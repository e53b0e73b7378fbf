/** Of a line, and of a document: what is held at once. */
export const LINE_BYTES_MAX = 8 * 1024 * 1024

export type RawLine =
  | { readonly line: number; readonly bytes: Buffer }
  /** Longer than is held: it was skipped. */
  | { readonly line: number; readonly bytes: null }

const NEWLINE = 0x0a

/** Lines from 1 on, of bytes: one that is no UTF-8 spoils no other. The last may have no end. */
export async function* rawLines(chunks: AsyncIterable<Uint8Array>, bytesMax = LINE_BYTES_MAX): AsyncGenerator<RawLine> {
  let line = 1
  let parts: Uint8Array[] = []
  let held = 0
  let skipping = false
  const take = (part: Uint8Array) => {
    held += part.length
    if (held > bytesMax) skipping = true
    if (skipping) parts = []
    else parts.push(part)
  }
  const finish = (): RawLine => {
    const done = skipping ? { line, bytes: null } : { line, bytes: Buffer.concat(parts) }
    line++
    parts = []
    held = 0
    skipping = false
    return done
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      take(chunk.subarray(from, end))
      yield finish()
      from = end + 1
    }
    if (from < chunk.length) take(chunk.subarray(from))
  }
  if (held > 0) yield finish()
}
