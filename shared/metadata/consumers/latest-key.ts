import { sha256Hex } from '../../sha256.ts'

/** One series, with whose it is. */
export type SeriesName = {
  readonly tenant: string
  readonly sourceId: string
  readonly schema: string
  readonly table: string
  readonly kind: string
  readonly scope: string
}

/** A key of a table holds 512 characters. */
const KEY_CHARS_MAX = 400
const PREFIX_CHARS = 300

/**
 * Keys of the table `MetadataLatest`. Parts are joined with `|`, and in each of them every byte of UTF-8 but letters and
 * digits of ASCII and `_-.:=@` is written as `~2F`, so that a key can be read back. Not with `%`: the service decodes
 * paths twice. A key of more than 400 characters is its beginning, `~~`, which no other key has, and a SHA-256 of it all.
 */
export function partitionKeyOf({ tenant, sourceId, schema, table }: Omit<SeriesName, 'kind' | 'scope'>): string {
  return keyOf([tenant, sourceId, schema, table])
}

export function rowKeyOf({ kind, scope }: Pick<SeriesName, 'kind' | 'scope'>): string {
  return keyOf([kind, scope])
}

function keyOf(parts: readonly string[]): string {
  const key = parts.map(escaped).join('|')
  if (key.length <= KEY_CHARS_MAX) return key
  return `${key.slice(0, PREFIX_CHARS)}~~${sha256Hex(key)}`
}

function escaped(part: string): string {
  return part.replaceAll(/[^A-Za-z0-9_.:=@-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `~${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}
