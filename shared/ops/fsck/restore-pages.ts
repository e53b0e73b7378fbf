import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { PermanentError, toError } from '../../errors.ts'
import { lockStream } from '../../ingest/state/lock-stream.ts'
import { type Instant, parseInstant } from '../../instant.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { exchangesOf } from '../../provenance/explain-exchange.ts'
import { sha256Hex } from '../../sha256.ts'
import { recordAudit } from '../audit.ts'

const decompress = promisify(gunzip)

const INGEST: Statement = {
  name: 'ingest_to_restore',
  text: `
select i.stream_id as "streamId", s.source, s.params, i.lo, i.hi, i.landed_epoch as "landedEpoch", i.pages, i.records,
       i.body_bytes as "bodyBytes"
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.source_ingest_id = $1::uuid and i.landed_epoch is not null`,
}

type Ingest = {
  readonly streamId: number
  readonly source: string
  readonly params: unknown
  readonly lo: Instant | null
  readonly hi: Instant | null
  readonly landedEpoch: number
  readonly pages: number
  readonly records: number
  readonly bodyBytes: number
}

const INSERT: Statement = {
  name: 'restore_raw_pages',
  text: `
insert into provenance.raw_page
       (source_ingest_id, epoch, page_no, path, sha256, stored_bytes, body_bytes, record_count, http_status, observed_at,
        fetched_at, request_fingerprint, token_sha256, next_token_sha256, is_last)
select i.source_ingest_id, i.landed_epoch, p.page_no, p.path, p.sha256, p.stored_bytes, p.body_bytes, p.record_count,
       p.http_status, p.observed_at, p.observed_at, p.request_fingerprint, p.token_sha256, p.next_token_sha256, p.is_last
  from provenance.source_ingest i,
       jsonb_to_recordset($3::jsonb) as p (page_no int, path text, sha256 text, stored_bytes bigint, body_bytes bigint,
         record_count int, http_status int, observed_at timestamptz, request_fingerprint text, token_sha256 text,
         next_token_sha256 text, is_last boolean)
 where i.source_ingest_id = $1::uuid and i.landed_epoch = $2::int
on conflict do nothing
returning path`,
}

/** A page as its blob tells it. */
type StoredBlob = {
  readonly path: string
  readonly body: Uint8Array
  readonly sha256: string
  readonly storedBytes: number
  readonly observedAt: string
  readonly requestFingerprint: string
}

/** The row of a page, as far as the chain decides it. */
type ChainLink = {
  readonly records: number
  readonly token: string | null
  readonly next: string | null
  readonly httpStatus: number | null
}

/**
 * Writes the rows of an ingest's raw pages again, from the lake alone, where it can be proven that they are the ones
 * that landed: each page answers the request that the page before leads to, and together they have the pages, records
 * and bytes that the ingest counted. Returns the paths that were restored. Throws PermanentError where it cannot be.
 */
export async function restorePages(
  platform: Platform,
  {
    sourceIngestId,
    paths,
    actor,
  }: { readonly sourceIngestId: string; readonly paths: readonly string[]; readonly actor: string },
): Promise<readonly string[]> {
  const [ingest] = await platform.db.query<Ingest>(INGEST, [sourceIngestId])
  if (ingest === undefined) throw new PermanentError(`ingest ${sourceIngestId}: expected one that landed, got none`)
  const blobs = await readBlobs(platform, paths, `_${sourceIngestId}_e${ingest.landedEpoch}_p`)
  const links = await proveChain(platform, ingest, blobs)
  const sum = (of: (pageNo: number) => number) => blobs.reduce((total, _, pageNo) => total + of(pageNo), 0)
  const counted = {
    pages: blobs.length,
    records: sum((pageNo) => links[pageNo]?.records ?? 0),
    bodyBytes: sum((pageNo) => blobs[pageNo]?.body.byteLength ?? 0),
  }
  const { pages, records, bodyBytes } = ingest
  if (counted.pages !== pages || counted.records !== records || counted.bodyBytes !== bodyBytes) {
    throw new PermanentError(
      `ingest ${sourceIngestId}: expected ${pages} pages, ${records} records and ${bodyBytes} bytes, got ${counted.pages}, ${counted.records} and ${counted.bodyBytes}`,
    )
  }
  const rows = blobs.map((blob, pageNo) => rowOf(blob, links, pageNo))
  return platform.db.transaction(async (tx) => {
    await lockStream(tx, ingest.streamId)
    const restored = await tx.query<{ path: string }>(INSERT, [
      sourceIngestId,
      ingest.landedEpoch,
      JSON.stringify(rows),
    ])
    const found = restored.map(({ path }) => path).sort()
    if (found.length > 0) {
      const subject = `ingest ${sourceIngestId}`
      await recordAudit(tx, { actor, action: 'restore_raw_pages', subject, after: { paths: found } })
    }
    return found
  })
}

/** All pages of the epoch in order, those whose rows are there too: they lie beside those that are not. */
async function readBlobs(platform: Platform, paths: readonly string[], name: string): Promise<readonly StoredBlob[]> {
  const [first = ''] = paths
  const end = first.indexOf(name) + name.length
  if (end < name.length) throw new PermanentError(`raw page ${first}: expected …${name}…, got another name`)
  const byPage = new Map<number, string>()
  for await (const { path } of platform.raw.list(first.slice(0, end))) {
    const [, pageNo] = /^(\d+)\./.exec(path.slice(end)) ?? []
    if (pageNo !== undefined) byPage.set(Number(pageNo), path)
  }
  const blobs: StoredBlob[] = []
  for (let pageNo = 0; pageNo < byPage.size; pageNo++) {
    const path = byPage.get(pageNo)
    if (path === undefined)
      throw new PermanentError(`raw pages ${first.slice(0, end)}…: expected page ${pageNo}, there is none`)
    blobs.push(await readBlob(platform, path))
  }
  return blobs
}

async function readBlob({ raw }: Platform, path: string): Promise<StoredBlob> {
  const blob = await raw.get(path)
  if (blob === null) throw new PermanentError(`raw page ${path}: expected a blob, there is none`)
  const body = await decompress(blob.body).catch((error) => {
    throw new PermanentError(`raw page ${path}: expected gzip, got none (${toError(error).message})`)
  })
  const sha256 = sha256Hex(body)
  const { sha256: stored, observedat = '', requestfingerprint = '' } = blob.metadata
  if (stored !== sha256)
    throw new PermanentError(`raw page ${path}: expected sha256 ${stored ?? 'in its metadata'}, got ${sha256}`)
  if (parseInstant(observedat) === undefined) {
    throw new PermanentError(`raw page ${path}: expected an instant as observedat in its metadata, got "${observedat}"`)
  }
  return {
    path,
    body,
    sha256,
    storedBytes: blob.body.byteLength,
    observedAt: observedat,
    requestFingerprint: requestfingerprint,
  }
}

async function proveChain(
  { sources }: Platform,
  { source: id, params, lo, hi }: Ingest,
  blobs: readonly StoredBlob[],
): Promise<readonly ChainLink[]> {
  const source = sources.get(id)
  if (source === undefined) throw new PermanentError(`stream: expected a known source, got ${id}`)
  const answer = (pageNo: number) => {
    const blob = blobs[pageNo]
    if (blob === undefined) throw new PermanentError(`page ${pageNo}: expected a blob, there is none`)
    return blob
  }
  if (source.kind === 'files') {
    const counted = source.bind(params).count(answer(0).body)
    if (counted.kind !== 'file') throw new PermanentError(`file: ${counted.detail}`)
    return [{ records: counted.records, token: null, next: null, httpStatus: null }]
  }
  if (lo === null || hi === null) throw new PermanentError('ingest: expected a window, got none')
  const links: ChainLink[] = []
  for await (const { records, token, next } of exchangesOf(source.bind(params), { lo, hi }, async (pageNo) =>
    answer(pageNo),
  )) {
    links.push({ records, token, next, httpStatus: 200 })
  }
  return links
}

function rowOf(blob: StoredBlob, links: readonly ChainLink[], pageNo: number) {
  const { records = 0, token = null, next = null, httpStatus = null } = links[pageNo] ?? {}
  const hashed = (text: string | null) => (text === null ? null : sha256Hex(text))
  return {
    page_no: pageNo,
    path: blob.path,
    sha256: blob.sha256,
    stored_bytes: blob.storedBytes,
    body_bytes: blob.body.byteLength,
    record_count: records,
    http_status: httpStatus,
    observed_at: blob.observedAt,
    request_fingerprint: blob.requestFingerprint,
    token_sha256: hashed(token),
    next_token_sha256: hashed(next),
    is_last: next === null,
  }
}
