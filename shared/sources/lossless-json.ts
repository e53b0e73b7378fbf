/**
 * An integer of 16 digits or more as a token of its own: the only numbers that JSON.parse changes unseen. More than 40
 * digits fit no column and are left to it.
 */
const LONG_INTEGER = /(?<![\w.+-])-?\d{16,40}(?![\d.eE])/

/** Finds every long integer of an object, and sometimes more, at half the cost of the exact pattern. */
const MAYBE_LONG_INTEGER = /[:,[\s]-?\d{16}/
const DIGITS = 16

/**
 * A run of 16 digits covers one of every 16 places, so only those are looked at; where one is found the pattern decides.
 * The pattern alone took 0.8 of the 14 s of a million bars.
 */
function mayHoldLongInteger(text: string): boolean {
  for (let at = DIGITS - 1; at < text.length; at += DIGITS) {
    if (!isDigit(text, at)) continue
    let from = at
    while (isDigit(text, from - 1)) from--
    let to = at + 1
    while (isDigit(text, to)) to++
    if (to - from >= DIGITS) return MAYBE_LONG_INTEGER.test(text)
  }
  return false
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

/**
 * JSON.parse in which integers beyond 2^53 are bigint; undefined for what is no JSON. Decimals are doubles: that is
 * what the datasets hold.
 *
 * Measured on 10,000 bars, 1.2 MB: parse 8 ms, the scan for long integers 1.7 ms, all of it with one such integer
 * 51 ms. There every string value is marked as one and every long integer becomes a marked string too, so that no
 * provider's text can be taken for the mark. JSON source text access would do it, and comes with Node 22.
 */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    // First as it is: the marking below reads strings and numbers right only where the text is JSON.
    const value: unknown = JSON.parse(text)
    return { value: mayHoldLongInteger(text) ? JSON.parse(markLongIntegers(text), unmark) : value }
  } catch {
    return undefined
  }
}

const STRING_MARK = 's'
const INTEGER_MARK = 'i'

function markLongIntegers(text: string): string {
  const token = new RegExp(`"|${LONG_INTEGER.source}`, 'g')
  const parts: string[] = []
  let copied = 0
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    if (match[0] === '"') {
      const end = endOfString(text, match.index)
      token.lastIndex = end
      if (isKey(text, end)) continue
      parts.push(text.slice(copied, match.index + 1), STRING_MARK, text.slice(match.index + 1, end))
      copied = end
    } else {
      parts.push(text.slice(copied, match.index), '"', INTEGER_MARK, match[0], '"')
      copied = token.lastIndex
    }
  }
  parts.push(text.slice(copied))
  return parts.join('')
}

/** The place after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function isKey(text: string, end: number): boolean {
  let at = end
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++
  return text[at] === ':'
}

function unmark(_key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (value.startsWith(STRING_MARK)) return value.slice(STRING_MARK.length)
  const digits = value.slice(INTEGER_MARK.length)
  const number = Number(digits)
  return Number.isSafeInteger(number) ? number : BigInt(digits)
}

const KEPT_DEPTH_MAX = 8

/** A value as it can be kept with a reject: JSON again, whatever came. Long integers are their digits. */
export function keepable(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (depth === KEPT_DEPTH_MAX) return '…'
  if (Array.isArray(value)) return value.map((item) => keepable(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, keepable(item, depth + 1)]))
}
