import { encodePathPart } from '../../path-part.ts'
import { sha256Hex } from '../../sha256.ts'
import type { MetadataTarget } from '../model/record.ts'

/** File systems take names of 255 bytes. A cut one ends in a hash; whose it is stands in the file. */
const TARGET_CHARS_MAX = 240
const RUN_CHARS_MAX = 160
const HASH_CHARS = 16

export type FiledRecord = {
  readonly target: Pick<MetadataTarget, 'sourceId' | 'schema' | 'table'>
  readonly kind: string
  readonly effectiveAt: string
  readonly runId: string | null
  readonly key: string
  readonly revision: number
}

/**
 * `records/<kind>/<source>.<schema>.<table>/<time>_<run>_<key>.json`: in ASCII, without a colon, so that every file
 * system takes it. Dots split the names of a target: within one they are encoded, and names can be told from the path.
 * The key and the revision make it unique, also where a file system takes `A` for `a`.
 */
export function recordPath({ target, kind, effectiveAt, runId, key, revision }: FiledRecord): string {
  const named = [target.sourceId, target.schema, target.table].map(encodeName).join('.')
  const time = effectiveAt.replaceAll(':', '-')
  const run = runId === null ? '' : shortened(encodeName(runId), RUN_CHARS_MAX)
  const fact = revision === 0 ? key : `${key}-${revision}`
  return `records/${encodePathPart(kind)}/${shortened(named, TARGET_CHARS_MAX)}/${time}_${run}_${fact}.json`
}

export function schemaPath(fingerprint: string): string {
  return `schemas/${encodePathPart(fingerprint)}.json`
}

export function segmentPath(segment: number): string {
  return `log/${String(segment).padStart(8, '0')}.jsonl`
}

/** Undefined for a file that is no segment of the log. */
export function segmentOf(path: string): number | undefined {
  const digits = /(?:^|\/)(\d{8})\.jsonl$/.exec(path)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function encodeName(text: string): string {
  return encodePathPart(text).replaceAll('.', '%2E')
}

function shortened(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text
  return `${text.slice(0, charsMax - HASH_CHARS - 1)}~${sha256Hex(text).slice(0, HASH_CHARS)}`
}
