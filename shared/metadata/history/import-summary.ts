import type { MetadataTarget } from '../model/record.ts'

/** What an artifact may be; which one it is, its content says. */
export const ARTIFACTS = ['progress', 'manifest', 'guardrail', 'recon', 'catalog'] as const
export type Artifact = (typeof ARTIFACTS)[number]

export type HistoryTable = Pick<MetadataTarget, 'sourceId' | 'schema' | 'table'>

/** A line or document that was not taken; everything beside it was. */
export type ImportProblem = {
  readonly file: string
  /** From 1; 1 of a document. */
  readonly line: number
  readonly reason: string
}

/** A run whose merged record was not stored. */
export type ImportRefusal = { readonly run: string; readonly kind: string; readonly reason: string }

/** All that were counted, and the first of them. */
export type Listed<Item> = { readonly count: number; readonly first: readonly Item[] }

export type ImportSummary = {
  /** Nothing was written, and `events`, `runs`, `records` say nothing. */
  readonly dryRun: boolean
  readonly files: number
  /** Lines and documents that were taken, by what they are. */
  readonly taken: Readonly<Record<Artifact, number>>
  /** Lines and documents that were not. */
  readonly problems: Listed<ImportProblem>
  readonly events: {
    readonly stored: number
    /** Known before, from this file or another. */
    readonly repeated: number
    /** Said something else of one run, slice and time; the same one of the two is kept in whatever order they come. */
    readonly replaced: number
  }
  /** Runs that the artifacts tell of; a catalog snapshot is one by itself. */
  readonly runs: {
    readonly merged: number
    /** Told by another producer: left alone. */
    readonly live: Listed<string>
    /** Not all of them could be told: their table or window is not known, or nothing ended. What is found later may say. */
    readonly waiting: Listed<string>
  }
  readonly records: {
    /** First revisions. */
    readonly stored: number
    /** Next revisions of what was stored by an earlier import. */
    readonly revised: number
    readonly unchanged: number
    readonly refused: Listed<ImportRefusal>
  }
  /** Known targets of which no volume was ever stored: variability has to use static tolerances. */
  readonly tablesWithoutHistory: Listed<HistoryTable>
}

export const LISTED_MAX = 1_000

export type Listing<Item> = { count: number; readonly first: Item[] }

export function listing<Item>(): Listing<Item> {
  return { count: 0, first: [] }
}

/** Counts all, keeps the first: what is wrong with one line of a log is often wrong with all. */
export function list<Item>(into: Listing<Item>, item: Item): void {
  into.count++
  if (into.first.length < LISTED_MAX) into.first.push(item)
}
