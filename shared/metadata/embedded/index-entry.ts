import { isFacet } from '../model/kind.ts'
import type { MetadataKinds } from '../model/kinds.ts'
import type { MetadataTarget } from '../model/record.ts'
import type { StoredLine } from './stored-line.ts'

export type IndexedSeries = {
  readonly target: Pick<MetadataTarget, 'sourceId' | 'schema' | 'table'>
  readonly kind: string
  readonly scope: string
}

/** What is asked of a record without reading it. Instants are text of fixed width, which sorts as they do. */
export type IndexEntry<Of extends IndexedSeries = IndexedSeries> = {
  readonly series: Of
  readonly key: string
  readonly revision: number
  readonly content: string
  readonly recordId: string
  readonly effectiveAt: string
  readonly orderedAt: string
  readonly producerId: string
  readonly runId: string | null
  readonly jobId: string | null
  readonly outcome: string | null
  readonly windowStart: string | null
  readonly windowEnd: string | null
  /** `name=value` of the extras that the kind declares. */
  readonly facets: readonly string[] | null
  /** Of the payload, by name: what the kind rolls up. */
  readonly numbers: Readonly<Record<string, number>> | null
}

/** `kinds`: as they are declared now. What a kind declares later is not looked for in what is indexed already. */
export function entryOf<Of extends IndexedSeries>(line: StoredLine, series: Of, kinds: MetadataKinds): IndexEntry<Of> {
  const { key, content, orderedAt, record } = line
  const { recordId, revision, effectiveAt, producerId, context, window, payload, extras } = record
  const kind = kinds.get(record.kind)
  const facets = (kind?.facets ?? []).flatMap((name) => (isFacet(extras?.[name]) ? [`${name}=${extras?.[name]}`] : []))
  const numbers: Record<string, number> = {}
  for (const name of kind?.rollups ?? []) {
    const value = payload[name]
    if (typeof value === 'number') numbers[name] = value
  }
  return {
    series,
    key,
    revision,
    content,
    recordId,
    effectiveAt,
    orderedAt,
    producerId,
    runId: context.runId ?? null,
    jobId: context.jobId ?? null,
    outcome: record.outcome ?? null,
    windowStart: window?.start ?? null,
    windowEnd: window?.end ?? null,
    facets: facets.length === 0 ? null : facets,
    numbers: Object.keys(numbers).length === 0 ? null : numbers,
  }
}

/** Of a series, oldest first. */
export function byTime(a: IndexEntry, b: IndexEntry): number {
  return order(a.effectiveAt, b.effectiveAt) || order(a.orderedAt, b.orderedAt) || order(a.recordId, b.recordId)
}

/** Of all series, oldest first. */
export function byEffectiveTime(a: IndexEntry, b: IndexEntry): number {
  return order(a.effectiveAt, b.effectiveAt) || order(a.recordId, b.recordId)
}

/** Whether `a` displaces `b` as the latest of their series: a revision decides before an id does. */
export function isLater(a: IndexEntry, b: IndexEntry): boolean {
  const decided = order(a.effectiveAt, b.effectiveAt) || order(a.orderedAt, b.orderedAt) || a.revision - b.revision
  return (decided || order(a.recordId, b.recordId)) > 0
}

export function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
