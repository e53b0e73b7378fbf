/**
 * Names from outside (symbols, users, sources) as one part of a blob path, of raw and of curated alike.
 *
 * RFC 3986's unreserved characters stay, every other byte of the UTF-8 form is `%XX`. A part that some reader or file
 * system takes for something else as a whole gets its first character encoded too. Case is kept as it is: names of
 * Azure blobs are case-sensitive, and `brk.b` and `BRK.B` may be two subjects.
 */

const UNRESERVED = /^[A-Za-z0-9._~-]*$/
const OUTSIDE_UNRESERVED = /[^A-Za-z0-9._~-]/gu

// NULL in any case: DuckDB takes `symbol=Null` for a missing value. The rest: Hive's and Spark's word for it, the two
// folders that every file system has, and the devices of Windows, which swallow `CON.txt` as well as `CON`.
const RESERVED = /^(?:null|__HIVE_DEFAULT_PARTITION__|\.|\.\.|(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?)$/is

/** Throws where there is no text to encode: an empty part, or a lone surrogate, which has no UTF-8 form. */
export function encodePathPart(text: string): string {
  if (text === '') throw new Error('path part: expected text, got ""')
  if (!text.isWellFormed()) {
    throw new Error(`path part: expected well-formed text, got a lone surrogate in ${JSON.stringify(text)}`)
  }
  let encoded = UNRESERVED.test(text) ? text : text.replaceAll(OUTSIDE_UNRESERVED, percentEncode)
  // Azure and Windows drop a dot at the end of a name.
  if (encoded.endsWith('.')) encoded = `${encoded.slice(0, -1)}%2E`
  return RESERVED.test(text) && !encoded.startsWith('%') ? percentEncode(text.charAt(0)) + encoded.slice(1) : encoded
}

/** The text of which `part` is the encoding; throws for anything that `encodePathPart` does not write. */
export function decodePathPart(part: string): string {
  const text = decodePercent(part)
  if (text === undefined || text === '' || encodePathPart(text) !== part) {
    throw new Error(`path part: expected percent-encoded text, got ${JSON.stringify(part)}`)
  }
  return text
}

function decodePercent(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

function percentEncode(character: string): string {
  return Array.from(
    Buffer.from(character, 'utf8'),
    (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')
}
