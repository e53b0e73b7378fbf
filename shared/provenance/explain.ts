import { ContractError, PermanentError, toError } from '../errors.ts'
import { readPartitionListing } from '../ingest/curate/partition-listing.ts'
import type { Instant } from '../instant.ts'
import type { Platform } from '../platform.ts'
import type { Queryable, Statement } from '../postgres/database.ts'
import type { ProviderRequest, Source, Window } from '../sources/contract.ts'
import { type Exchange, exchangesOf } from './explain-exchange.ts'
import { type ExplainedIngest, type ExplainedPage, PAGE_COLUMNS, readIngest } from './explain-ingest.ts'
import { type ExplainedRecord, explainRecord } from './explain-record.ts'
import { equalRows, type FoundRow, findRow, type KeyPart, type PartitionPlace, type ShownRow } from './explain-row.ts'
import { readRawPage } from './raw-page.ts'

/** From a row of a curated file down to the exchange that brought it. */
export type RowExplanation = {
  readonly path: string
  readonly blobVersion: number
  readonly transformVersion: number
  /** An ingest or a rebuild of the partition is not published yet: the row may change. */
  readonly pending: boolean
  readonly values: ShownRow
  readonly provenance: { readonly observedAt: Instant; readonly rawSha256: string; readonly rawRow: number }
  readonly page: ExplainedPage
  /** What the page answers; null for a file, and where `requestProblem` says why it cannot be told. */
  readonly request: Pick<ProviderRequest, 'method' | 'path' | 'query'> | null
  readonly requestProblem: string | null
  readonly record: ExplainedRecord
  /** Today's transform makes this very row of the record. */
  readonly madeAgain: boolean
  readonly ingest: ExplainedIngest
}

// More than one where two ingests stored the same answer as of the same instant: then either made the row.
const PAGE: Statement = {
  name: 'explain_page_of_row',
  text: `
select ${PAGE_COLUMNS}, i.source_ingest_id as "sourceIngestId", s.source, s.params
  from curated.partition_ingest l
  join provenance.source_ingest i using (source_ingest_id)
  join ingest.stream s using (stream_id)
  join provenance.raw_page p on p.source_ingest_id = l.source_ingest_id and p.epoch = l.landed_epoch
 where l.dataset = $1::text and l.partition_key = $2::text
   and left(p.sha256, 16) = $3::text and p.observed_at = $4::timestamptz
 order by (i.superseded_by is null and i.withdrawn_at is null) desc, i.state = 'published' desc, i.source_ingest_id
 limit 1`,
}

type PageOfRow = ExplainedPage & { readonly sourceIngestId: string; readonly source: string; readonly params: unknown }

/** Throws ConfigError where there is no such row, PermanentError where its page is lost. */
export async function explainRow(
  platform: Platform,
  place: PartitionPlace,
  key: readonly KeyPart[],
): Promise<RowExplanation> {
  const found = await findRow(platform, place, key)
  const { path, dataset, partitionKey, blobVersion, transformVersion, values, observedAt, rawSha256, rawRow } = found
  const { pending } = await readPartitionListing(platform.db, dataset.name, partitionKey)
  const { sourceIngestId, source: id, params, ...page } = await pageOf(platform.db, found)
  const source = platform.sources.get(id)
  if (source === undefined) throw new PermanentError(`${path}: expected a known source, got ${id}`)
  const ingest = await readIngest(platform.db, sourceIngestId)
  const body = await readRawPage(platform.raw, page)
  const record = explainRecord({ dataset, bound: source.bind(params) }, body, rawRow)
  return {
    path,
    blobVersion,
    transformVersion,
    pending,
    values,
    provenance: { observedAt, rawSha256, rawRow },
    page,
    ...(await requestOf(platform, source, params, ingest, page)),
    record,
    madeAgain: record.row !== null && equalRows(record.row, values),
    ingest,
  }
}

async function pageOf(
  db: Queryable,
  { path, dataset, partitionKey, rawSha256, observedAt }: FoundRow,
): Promise<PageOfRow> {
  const [page] = await db.query<PageOfRow>(PAGE, [dataset.name, partitionKey, rawSha256, observedAt])
  if (page !== undefined) return page
  throw new PermanentError(
    `${path}: expected a raw page ${rawSha256}… of an ingest that is listed for it, got none; tributary fsck says more`,
  )
}

const CHAIN: Statement = {
  name: 'explain_chain',
  text: `
select p.path, p.sha256, p.request_fingerprint as "requestFingerprint"
  from provenance.raw_page p
 where p.source_ingest_id = $1::uuid and p.epoch = $2::int and p.page_no = $3::int`,
}

type Asked = Pick<RowExplanation, 'request' | 'requestProblem'>

/** The request is not stored, only its fingerprint: it is found again by walking the chain, and proven by it. */
async function requestOf(
  platform: Platform,
  source: Source,
  params: unknown,
  ingest: ExplainedIngest,
  page: ExplainedPage,
): Promise<Asked> {
  const { sourceIngestId, lo, hi } = ingest
  if (source.kind === 'files' || lo === null || hi === null) return { request: null, requestProblem: null }
  const readAnswer = async (pageNo: number) => {
    const [row] = await platform.db.query<{ path: string; sha256: string; requestFingerprint: string }>(CHAIN, [
      sourceIngestId,
      page.epoch,
      pageNo,
    ])
    if (row === undefined) throw new PermanentError(`page ${pageNo} of ingest ${sourceIngestId}: expected it, got none`)
    return { body: await readRawPage(platform.raw, row), requestFingerprint: row.requestFingerprint }
  }
  const window: Window = { lo, hi }
  try {
    const { method, path, query } = (
      await exchangeAt(exchangesOf(source.bind(params), window, readAnswer), page.pageNo)
    ).request
    return { request: { method, path, query }, requestProblem: null }
  } catch (error) {
    if (!(error instanceof PermanentError) && !(error instanceof ContractError)) throw error
    return { request: null, requestProblem: toError(error).message }
  }
}

async function exchangeAt(exchanges: AsyncIterable<Exchange>, pageNo: number): Promise<Exchange> {
  for await (const exchange of exchanges) if (exchange.pageNo === pageNo) return exchange
  throw new PermanentError(`page ${pageNo}: expected it in its chain, the chain ends before`)
}
