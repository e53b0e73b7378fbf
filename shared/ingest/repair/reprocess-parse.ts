import { splitByPartition } from '../../curated/partition-path.ts'
import { columnOf, type RowBatch } from '../../datasets/row-batch.ts'
import { PermanentError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import type { KnownReject, RecordPlace } from '../../provenance/rejects.ts'
import { checkRejectLimits, type ParsedIngest, parsePages } from '../curate/parse-pages.ts'
import type { ListedIngest } from '../curate/partition-listing.ts'
import type { ReprocessTarget } from './reprocess-target.ts'

/** The raw pages of one ingest as today's transform reads them. */
export type ParsedAgain = {
  /** Rows by partition key. */
  readonly parts: ReadonlyMap<string, RowBatch>
  readonly rejects: IngestRejects
}

/** What became of the records of one ingest that do not fit, or did not. */
export type IngestRejects = {
  readonly sourceIngestId: string
  readonly records: number
  /** Records that were rejects until now. */
  readonly before: number
  readonly now: number
  /** Why the ingest would fail with so many, where they are more than before. */
  readonly overLimit: string | null
  /** Records that were rejects and fit now; `partitionKey` null: outside the window, so not curated. */
  readonly fits: readonly (RecordPlace & { readonly partitionKey: string | null })[]
  /** Records that were none and do not fit now. */
  readonly broken: ParsedIngest['rejects']
}

type Again = {
  readonly raw: Platform['raw']
  readonly target: ReprocessTarget
  readonly ingest: ListedIngest
  /** Its rejects as they are stored. */
  readonly known: readonly KnownReject[]
  readonly signal: AbortSignal
}

/** Throws PermanentError where a raw page is missing or altered, ContractError where it is no page of the source. */
export async function parseAgain(again: Again): Promise<ParsedAgain> {
  const { target, ingest, known } = again
  const parsed = await parseAll(again, ingest.pages)
  const before = known.filter(({ state }) => state !== 'replayed')
  const isKnown = new Set(before.map(placeText))
  const { sourceIngestId } = ingest
  return {
    parts: partsOf(target, parsed.rows),
    rejects: {
      sourceIngestId,
      records: parsed.records,
      before: before.length,
      now: parsed.rejects.length,
      overLimit: parsed.rejects.length > before.length ? limitProblem(sourceIngestId, parsed) : null,
      fits: await fitting(again, parsed, before),
      broken: parsed.rejects.filter((reject) => !isKnown.has(placeText(reject))),
    },
  }
}

function parseAll({ raw, target, ingest, signal }: Again, pages: ListedIngest['pages']): Promise<ParsedIngest> {
  const { dataset, bound } = target
  const window = ingest.lo === null || ingest.hi === null ? null : { lo: ingest.lo, hi: ingest.hi }
  return parsePages({ raw, dataset, bound, pages, window, signal })
}

function partsOf({ dataset, place }: ReprocessTarget, rows: RowBatch): ReadonlyMap<string, RowBatch> {
  return new Map(splitByPartition(dataset, place, rows).map((part) => [part.partitionKey, part.rows]))
}

function limitProblem(sourceIngestId: string, parsed: ParsedIngest): string | null {
  try {
    checkRejectLimits(sourceIngestId, parsed)
    return null
  } catch (error) {
    if (error instanceof PermanentError) return error.message
    throw error
  }
}

/** Their pages once more, one by one: rows say their ordinal, and only together with the page is that a place. */
async function fitting(again: Again, parsed: ParsedIngest, before: readonly RecordPlace[]) {
  const still = new Set(parsed.rejects.map(placeText))
  const gone = before.filter((reject) => !still.has(placeText(reject)))
  const fits: (RecordPlace & { readonly partitionKey: string | null })[] = []
  for (const page of again.ingest.pages) {
    const mine = gone.filter(({ pageNo }) => pageNo === page.pageNo)
    if (mine.length === 0) continue
    const keys = new Map<number, string>()
    for (const [partitionKey, rows] of partsOf(again.target, (await parseAll(again, [page])).rows)) {
      for (const ordinal of columnOf(rows, '_raw_row') as Int32Array) keys.set(ordinal, partitionKey)
    }
    for (const { pageNo, ordinal } of mine) fits.push({ pageNo, ordinal, partitionKey: keys.get(ordinal) ?? null })
  }
  return fits
}

function placeText({ pageNo, ordinal }: RecordPlace): string {
  return `${pageNo}/${ordinal}`
}
