export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/** JSON with object keys sorted by code unit and no white space, so that equal values have equal text. */
export function canonicalJson(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const entries = Object.entries(value as { readonly [key: string]: JsonValue }).filter(
    ([, item]) => item !== undefined,
  )
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`
}

/** A short, printable piece of an unexpected value, for error messages. */
export function sample(value: unknown, charsMax = 200): string {
  const text = typeof value === 'string' ? value : printable(value)
  const oneLine = text.replaceAll(/\s+/g, ' ')
  return oneLine.length > charsMax ? `${oneLine.slice(0, charsMax)}…` : oneLine
}

/** Whatever a provider sent can stand here: bigints, and values too deep to be written out. */
function printable(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  try {
    return (
      JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? item.toString() : item)) ??
      String(value)
    )
  } catch {
    return Object.prototype.toString.call(value)
  }
}

/** JSON text that PostgreSQL's jsonb takes, of whatever a provider sent: no NUL, no lone surrogate, bigint as text. */
export function storableJson(value: unknown): string {
  const clean = (text: string) => text.replaceAll('\u0000', '\uFFFD').toWellFormed()
  const text = JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return item.toString()
    if (typeof item === 'string') return clean(item)
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [clean(key), inner]))
  })
  return text ?? 'null'
}
