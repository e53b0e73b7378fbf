import { CancelledError, ConfigError } from '../../../../shared/errors.ts'
import type { MetadataRecord } from '../../../../shared/metadata/model/record.ts'
import { type NormalFilter, normalFilter } from '../../../../shared/metadata/model/record-filter.ts'
import { PAGE_LIMIT_MAX, type RecordFilter } from '../../../../shared/metadata/model/repository.ts'
import { readAllRecords } from '../../../../shared/metadata/retention/history-reader.ts'
import { count } from '../../../table.ts'
import type { CommandContext } from '../../command.ts'
import { metadataContainer } from './on-metadata.ts'

/** They are sorted in memory: 1 KB each. */
const RECORDS_MAX = 200_000
const PROGRESS_EVERY = 10_000

const FIRST = '0001-01-01T00:00:00Z'
const LAST = '9999-12-31T23:59:59.999999Z'

export type AllOf = RecordFilter & { readonly kind: string }

/**
 * Every record that the filter takes, newest first: of the table and of compacted files, else all pages of another
 * repository. Throws ConfigError for more than fit in memory, QueryError, CancelledError.
 */
export async function readAll(context: CommandContext, tenant: string, filter: AllOf): Promise<MetadataRecord[]> {
  const found: MetadataRecord[] = []
  for await (const record of await recordsOf(context, tenant, filter)) {
    if (context.signal.aborted) throw new CancelledError('told to stop')
    if (found.length === RECORDS_MAX) {
      throw new ConfigError([
        `--all: expected at most ${count(RECORDS_MAX)} records, got more: --from and --to take a part of them`,
      ])
    }
    found.push(record)
    if (found.length % PROGRESS_EVERY === 0) {
      context.out.progress('read', { records: found.length }, `read ${count(found.length)} records`)
    }
  }
  return found.sort(newestFirst)
}

async function recordsOf({ platform }: CommandContext, tenant: string, filter: AllOf) {
  const { store, kinds } = platform.metadata
  if (store === null) return pagesOf(platform, tenant, filter)
  await kinds.refresh()
  const { filter: normal } = normalFilter(filter, kinds.known())
  const { kind, target } = filter
  const { from = FIRST, to = LAST } = normal
  const places = { db: store.db, files: metadataContainer(platform) }
  return matching(readAllRecords(places, { tenant, kind, from, to, target }), normal)
}

async function* pagesOf({ metadata }: CommandContext['platform'], tenant: string, filter: AllOf) {
  const repository = await metadata.repository(tenant)
  let after: string | undefined
  do {
    const page = await repository.query(filter, { limit: PAGE_LIMIT_MAX, after })
    yield* page.records
    after = page.next ?? undefined
  } while (after !== undefined)
}

async function* matching(records: AsyncIterable<MetadataRecord>, filter: NormalFilter) {
  const { scope, runId, jobId, producerId, outcome, facets = [], windowFrom, windowTo } = filter
  const isOr = (wanted: string | undefined, got: string | undefined) => wanted === undefined || wanted === got
  for await (const record of records) {
    const { context, extras = {}, window } = record
    const said = new Set(Object.entries(extras).map(([name, value]) => `${name}=${String(value)}`))
    const matches =
      isOr(scope, record.scope) &&
      isOr(runId, context.runId) &&
      isOr(jobId, context.jobId) &&
      isOr(producerId, record.producerId) &&
      isOr(outcome, record.outcome) &&
      (windowFrom === undefined || (window !== undefined && window.start >= windowFrom)) &&
      (windowTo === undefined || (window !== undefined && window.end <= windowTo)) &&
      facets.every((facet) => said.has(facet))
    if (matches) yield record
  }
}

// Instants are of fixed width: they sort as text.
function newestFirst(a: MetadataRecord, b: MetadataRecord): number {
  return (
    compare(b.effectiveAt, a.effectiveAt) ||
    compare(b.producedAt, a.producedAt) ||
    b.revision - a.revision ||
    compare(b.recordId, a.recordId)
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
