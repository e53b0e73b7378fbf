import type { BlobFacts } from '../../azure/blobs.ts'
import { PermanentError } from '../../errors.ts'
import { formatInstant, type Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { readRawPage } from '../../provenance/raw-page.ts'
import { chunksOf, damage, type Finding, type FsckContext } from './finding.ts'
import { explainUnlisted } from './unlisted-blobs.ts'

type PageRow = {
  readonly sourceIngestId: string
  readonly epoch: number
  readonly pageNo: number
  readonly path: string
  readonly sha256: string
  readonly storedBytes: number
  readonly observedAt: Instant
  readonly requestFingerprint: string
  readonly landed: boolean
  readonly stream: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** Recorded before the check began: its blob was there before the listing. */
  readonly older: boolean
}

const COLUMNS = `
p.source_ingest_id as "sourceIngestId", p.epoch, p.page_no as "pageNo", p.path, p.sha256, p.stored_bytes as "storedBytes",
       p.observed_at as "observedAt", p.request_fingerprint as "requestFingerprint",
       i.landed_epoch is not distinct from p.epoch as landed, i.lo, i.hi,
       concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream`

const FROM = `
  from provenance.raw_page p join provenance.source_ingest i using (source_ingest_id) join ingest.stream s using (stream_id)`

const BY_PATH: Statement = {
  name: 'fsck_pages_by_path',
  text: `select ${COLUMNS}, p.fetched_at <= $2::timestamptz as older ${FROM} where p.path = any($1::text[])`,
}

const NOW: Statement = { name: 'fsck_now', text: 'select now() as now' }

// Pages fall into 256 buckets by their hash. Where fewer were seen in a bucket than it has, a page of it has no blob.
const BUCKETS: Statement = {
  name: 'fsck_page_buckets',
  text: `
select left(sha256, 2) as bucket, count(*) from provenance.raw_page where fetched_at <= $1::timestamptz group by 1`,
}

const IN_BUCKETS: Statement = {
  name: 'fsck_pages_in_buckets',
  text: `
select ${COLUMNS}, true as older ${FROM}
 where left(p.sha256, 2) = any($1::text[]) and p.fetched_at <= $2::timestamptz
   and (p.source_ingest_id, p.epoch, p.page_no) > ($3::uuid, $4::int, $5::int)
 order by p.source_ingest_id, p.epoch, p.page_no
 limit $6::int`,
}

const CHUNK = 1_000
const HEADS_AT_ONCE = 16

/**
 * Rows against blobs, both ways, in bounded memory and without an order that both sides would have to share: the
 * container is listed once and its blobs are looked up; only the buckets in which a row was not seen are asked for blob
 * by blob. A healthy lake costs one listing.
 */
export async function* checkRawPages(context: FsckContext): AsyncGenerator<Finding> {
  const { platform, checked, signal } = context
  const [clock] = await platform.db.query<{ now: Instant }>(NOW)
  const began = clock?.now ?? 0n
  const seen = new Map<string, number>()
  for await (const blobs of chunksOf(platform.raw.list(''), CHUNK)) {
    signal.throwIfAborted()
    checked.blobs += blobs.length
    const rows = await readRows(platform.db, blobs, began)
    for (const row of rows.values()) {
      checked.pages++
      const bucket = row.sha256.slice(0, 2)
      if (row.older) seen.set(bucket, (seen.get(bucket) ?? 0) + 1)
    }
    const known = blobs.flatMap((blob) => {
      const row = rows.get(blob.path)
      return row === undefined ? [] : [{ blob, row }]
    })
    for (const { blob, row } of known) {
      const detail = await alteration(context, blob, row)
      if (detail !== null) yield lost(context, 'raw_page_altered', row, detail)
    }
    yield* explainUnlisted(
      context,
      blobs.filter(({ path }) => !rows.has(path)),
    )
  }
  yield* missingPages(context, began, seen)
}

async function readRows(
  db: Queryable,
  places: readonly { readonly path: string }[],
  began: Instant,
): Promise<ReadonlyMap<string, PageRow>> {
  const rows = await db.query<PageRow>(BY_PATH, [places.map(({ path }) => path), began])
  return new Map(rows.map((row) => [row.path, row]))
}

/** What is wrong with the blob, or null. */
async function alteration({ platform, deep }: FsckContext, blob: BlobFacts, row: PageRow): Promise<string | null> {
  if (blob.bytes !== row.storedBytes) return `expected ${row.storedBytes} bytes, got ${blob.bytes}`
  const expected = {
    sha256: row.sha256,
    sourceingestid: row.sourceIngestId,
    epoch: String(row.epoch),
    pageno: String(row.pageNo),
    observedat: formatInstant(row.observedAt),
    requestfingerprint: row.requestFingerprint,
  }
  for (const [key, value] of Object.entries(expected)) {
    const came = blob.metadata[key]
    if (came !== value) return `expected ${key} ${value} in its metadata, got ${came ?? 'none'}`
  }
  if (!deep) return null
  try {
    await readRawPage(platform.raw, row)
    return null
  } catch (error) {
    if (error instanceof PermanentError) return error.message
    throw error
  }
}

async function* missingPages(
  context: FsckContext,
  began: Instant,
  seen: ReadonlyMap<string, number>,
): AsyncGenerator<Finding> {
  const { platform, signal, checked } = context
  const counts = await platform.db.query<{ bucket: string; count: number }>(BUCKETS, [began])
  const short = counts.filter(({ bucket, count }) => (seen.get(bucket) ?? 0) < count).map(({ bucket }) => bucket)
  if (short.length === 0) return
  for (let after: readonly [string, number, number] = ['00000000-0000-0000-0000-000000000000', 0, 0]; ; ) {
    const rows = await platform.db.query<PageRow>(IN_BUCKETS, [short, began, ...after, CHUNK])
    for (let start = 0; start < rows.length; start += HEADS_AT_ONCE) {
      signal.throwIfAborted()
      const batch = rows.slice(start, start + HEADS_AT_ONCE)
      const heads = await Promise.all(batch.map(({ path }) => platform.raw.head(path)))
      const gone = batch.filter((_, index) => heads[index] === null)
      checked.pages += gone.length
      // Retention may have moved it while we looked.
      const still = await readRows(platform.db, gone, began)
      for (const row of still.values()) yield lost(context, 'raw_page_missing', row, 'expected a blob, there is none')
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < CHUNK) return
    after = [last.sourceIngestId, last.epoch, last.pageNo]
  }
}

/** Raw is written once, and nobody can make it again. */
function lost(
  { damagedPages }: FsckContext,
  kind: 'raw_page_missing' | 'raw_page_altered',
  row: PageRow,
  detail: string,
): Finding {
  damagedPages.add(row.path)
  const { path, sourceIngestId, landed, stream, lo, hi } = row
  const restore = 'restore the blob from its versions, soft delete or a backup'
  const again =
    lo === null || hi === null
      ? 'or put the file again'
      : `or read the window again: tributary backfill plan --stream ${stream} --from ${formatInstant(lo)} --to ${formatInstant(hi)} --again`
  const advice = landed ? `${restore}, ${again}` : `${restore}; no file is made of it, its attempt never landed`
  return damage({ kind, place: path, detail: `ingest ${sourceIngestId}: ${detail}`, repair: null, advice })
}
