const SECRET_KEY =
  /(password|passwd|secret|token|api[-_]?key|key[-_]?id|account[-_]?key|authorization|credential|signature|connection[-_]?string|^sig$)/i
const MASK = '[redacted]'
// Shorter values would blank out ordinary words.
const SECRET_CHARS_MIN = 6

export type Redact = (value: unknown) => unknown

/** Replaces what must not be logged: values of secret keys, and known secrets wherever they stand in a text. */
export function createRedact(secrets: readonly string[]): Redact {
  // Longest first: a secret that begins another must not leave the rest of it behind.
  const known = secrets.filter((secret) => secret.length >= SECRET_CHARS_MIN).sort((a, b) => b.length - a.length)
  const redactText = (text: string) => known.reduce((left, secret) => left.replaceAll(secret, MASK), text)
  const redact = (value: unknown, depth: number): unknown => {
    if (typeof value === 'string') return redactText(value)
    if (typeof value === 'bigint') return value.toString()
    if (value === null || typeof value !== 'object') return value
    if (depth > 8) return '[too deep]'
    if (value instanceof Error) return redactText(value.stack ?? value.message)
    if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
    const entries = Object.entries(value).map(([key, item]) => [
      key,
      SECRET_KEY.test(key) && item !== null && item !== undefined ? MASK : redact(item, depth + 1),
    ])
    return Object.fromEntries(entries)
  }
  return (value) => redact(value, 0)
}
