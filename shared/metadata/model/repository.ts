import type { RecordProblem } from './problem.ts'
import type { MetadataRecord, MetadataTarget, NewMetadataRecord } from './record.ts'

/** What became of one record. Its fate does not depend on the records beside it. */
export type StoreResult =
  | { readonly outcome: 'stored'; readonly recordId: string }
  /** The same was stored before, under this id. */
  | { readonly outcome: 'replayed'; readonly recordId: string }
  | {
      readonly outcome: 'refused'
      readonly problem: RecordProblem
      /** Of a conflict: what is stored instead. */
      readonly recordId?: string
    }

/** One series: what is said about a target (or a slice of it) in records of one kind. */
export type Series = {
  readonly target: Pick<MetadataTarget, 'sourceId' | 'schema' | 'table'>
  readonly kind: string
  /** Absent: the whole target. */
  readonly scope?: string | undefined
}

export type LatestRecord = {
  readonly record: MetadataRecord
  /** Grows whenever another record becomes the latest: record id and this are what an ETag is made of. */
  readonly changeNo: number
}

export type PageRequest = {
  /** At most 500. */
  readonly limit?: number | undefined
  /** `next` of the page before; only for the same request. */
  readonly after?: string | undefined
}

export type RecordPage = {
  /** Newest first, by effective time. */
  readonly records: readonly MetadataRecord[]
  /** Null: there are no more. */
  readonly next: string | null
}

/** Conditions are and-ed. Instants are RFC 3339. */
export type RecordFilter = {
  readonly kind?: string | undefined
  readonly target?: Series['target'] | undefined
  readonly scope?: string | undefined
  readonly runId?: string | undefined
  readonly jobId?: string | undefined
  readonly producerId?: string | undefined
  readonly outcome?: string | undefined
  /** Effective time, half-open. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Records whose window lies wholly in this range. */
  readonly windowFrom?: string | undefined
  readonly windowTo?: string | undefined
  /** Of extras that the kind declares; needs `kind`. */
  readonly extras?: Readonly<Record<string, string | number | boolean>> | undefined
}

/** One kind over time. Buckets are days or months in UTC, of the start of each window; half-open, `YYYY-MM-DD`. */
export type AggregateQuery = {
  readonly kind: string
  readonly grain: 'day' | 'month'
  readonly from: string
  readonly to: string
  readonly target?: Series['target'] | undefined
  readonly scope?: string | undefined
  /** A number of the payload that the kind rolls up; absent: all of them and '', the facts themselves. */
  readonly metric?: string | undefined
}

/** Highest revisions only. Windows longer than a bucket are in none. */
export type AggregateCell = {
  readonly target: Series['target']
  readonly kind: string
  readonly scope: string
  /** '': the facts themselves, which have a count and outcomes and no numbers. */
  readonly metric: string
  readonly grain: 'day' | 'month'
  readonly bucket: string
  /** Facts that have the number. */
  readonly count: number
  readonly total: number | null
  readonly min: number | null
  readonly max: number | null
  /** Facts by outcome, of kinds that have outcomes. */
  readonly outcomes: Readonly<Record<string, number>>
}

export type AggregatePage = {
  /** By bucket, target, scope, metric. */
  readonly cells: readonly AggregateCell[]
  readonly next: string | null
}

export const SERIES_MAX = 500
export const PAGE_LIMIT = 50
export const PAGE_LIMIT_MAX = 500

/**
 * Where metadata records are kept, for one tenant. Every implementation passes the same contract suite, so that what
 * emits and what asks does not change with it.
 *
 * Stored means durable. `latest` of a series is the greatest by (effectiveAt, orderedAt, revision, recordId), in
 * whatever order records came. Reads throw QueryError for what can not be asked.
 */
export type MetadataRepository = {
  readonly store: (record: NewMetadataRecord) => Promise<StoreResult>
  /** Results in the order of the records; any number of them. */
  readonly bulkStore: (records: readonly NewMetadataRecord[]) => Promise<readonly StoreResult[]>
  readonly latest: (series: Series) => Promise<LatestRecord | null>
  /** In the order of the series, at most 500: what a planner asks before it schedules. */
  readonly latestOfMany: (series: readonly Series[]) => Promise<readonly (LatestRecord | null)[]>
  readonly history: (series: Series, page?: PageRequest) => Promise<RecordPage>
  readonly query: (filter: RecordFilter, page?: PageRequest) => Promise<RecordPage>
  /** May be behind by what was stored in the last moments. */
  readonly aggregate: (query: AggregateQuery, page?: PageRequest) => Promise<AggregatePage>
}

/** What was asked can not be answered, by nobody. */
export class QueryError extends Error {
  override readonly name = 'QueryError'
  readonly code: 'invalid-query' | 'malformed-cursor' | 'cursor-mismatch'

  constructor(code: QueryError['code'], message: string) {
    super(message)
    this.code = code
  }
}
