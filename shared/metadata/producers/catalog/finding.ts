import { sha256Hex } from '../../../sha256.ts'
import { cleanText } from '../../model/build-record.ts'
import type { SchemaColumn, SchemaSnapshot } from '../../model/kinds/schema-snapshot.ts'
import type { StatisticsSnapshot } from '../../model/kinds/statistics-snapshot.ts'
import type { MetadataQuality, MetadataTarget } from '../../model/record.ts'
import type { SchemaForm, SchemaReaders } from './schema-difference.ts'

/** What a collector found of one target. */
export type CatalogFinding = SchemaForm & {
  readonly place: SchemaSnapshot['place']
  /** Where exactly the columns were found. */
  readonly extras?: Readonly<Record<string, unknown>>
  readonly statistics: { readonly payload: StatisticsSnapshot; readonly quality: MetadataQuality } | null
  readonly readers?: SchemaReaders
}

/** A target, and how to look at it. */
export type CatalogTarget = {
  readonly target: MetadataTarget
  readonly jobId: string
  /** Null: it is no more. Throws where it cannot be told. */
  readonly find: () => Promise<CatalogFinding | null>
}

const TYPE_CHARS_MAX = 2_000
const TEXT_CHARS_MAX = 8_000

/** As a snapshot takes it: storable text of bounded length. The fingerprint is of these. */
export function storableColumn({ name, type, nullable, key, default: value, comment }: SchemaColumn): SchemaColumn {
  return {
    name: cleanText(name),
    type: bounded(cleanText(type), TYPE_CHARS_MAX),
    ...(nullable !== undefined && { nullable }),
    ...(key !== undefined && { key }),
    ...(value !== undefined && { default: bounded(cleanText(value), TEXT_CHARS_MAX) }),
    ...(comment !== undefined && { comment: bounded(cleanText(comment), TEXT_CHARS_MAX) }),
  }
}

/** What is cut keeps a hash of the whole: a change beyond the cut shows. */
function bounded(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text
  const hash = ` … sha256 ${sha256Hex(text)}`
  return `${text.slice(0, charsMax - hash.length).toWellFormed()}${hash}`
}
