import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { BlobContainer } from '../azure/blobs.ts'
import { PermanentError, RawCollisionError, TransientError, toError } from '../errors.ts'
import { formatInstant, type Instant } from '../instant.ts'
import type { Queryable, Statement } from '../postgres/database.ts'
import { sha256Hex } from '../sha256.ts'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

// Level 1 takes half the time of level 6 for a tenth more bytes; raw is written once and seldom read.
// Large chunks: at 16 KiB each, handing them over took a second of a million bars.
const GZIP_OPTIONS = { level: 1, chunkSize: 256 * 1024 }
const GUNZIP_CHUNK_BYTES = 1024 * 1024

// More than any body that is stored: a damaged blob of some kilobytes may be said to hold gigabytes.
const BODY_BYTES_MAX = 128 * 1024 * 1024

/** What a page belongs to: a window of its stream, or a version of a file. */
export type PageOrigin =
  | { readonly lo: Instant; readonly hi: Instant }
  | { readonly name: string; readonly version: number }

export type RawPage = {
  readonly sourceIngestId: string
  readonly epoch: number
  readonly pageNo: number
  readonly path: string
  readonly body: Uint8Array
  readonly streamKey: string
  readonly of: PageOrigin
  readonly observedAt: Instant
  readonly requestFingerprint: string
}

export type StoredPage = { readonly sha256: string; readonly storedBytes: number; readonly bodyBytes: number }

/**
 * Writes the provider's answer to the lake, once: nothing overwrites it. A create that finds the same bytes there is a
 * repeat of ours whose answer was lost; other bytes are a RawCollisionError.
 */
export async function storeRawPage(raw: BlobContainer, page: RawPage): Promise<StoredPage> {
  const sha256 = sha256Hex(page.body)
  const stored = await compress(page.body, GZIP_OPTIONS)
  const result = await raw.put(page.path, stored, {
    condition: { kind: 'absent' },
    // A gzip file, not a compressed body: with a content encoding, clients would undo it on the way, some of them.
    contentType: 'application/gzip',
    // Everything that provenance needs, so that it can be rebuilt from the lake alone.
    metadata: {
      sha256,
      sourceingestid: page.sourceIngestId,
      stream: encodeURIComponent(page.streamKey),
      epoch: String(page.epoch),
      pageno: String(page.pageNo),
      ...('lo' in page.of
        ? { lo: formatInstant(page.of.lo), hi: formatInstant(page.of.hi) }
        : { filename: encodeURIComponent(page.of.name), fileversion: String(page.of.version) }),
      observedat: formatInstant(page.observedAt),
      requestfingerprint: page.requestFingerprint,
    },
  })
  if (!result.written) await checkStored(raw, page.path, sha256, result.status)
  return { sha256, storedBytes: stored.byteLength, bodyBytes: page.body.byteLength }
}

async function checkStored(raw: BlobContainer, path: string, sha256: string, status: number): Promise<void> {
  const found = await raw.head(path)
  if (found === null) {
    throw new TransientError(`raw page ${path}: expected to create it, storage refused (${status}) and there is none`)
  }
  if (found.metadata.sha256 !== sha256) {
    throw new RawCollisionError(
      `raw page ${path}: expected sha256 ${sha256}, another was written before (${found.metadata.sha256})`,
    )
  }
}

/** The body as the provider sent it. Throws PermanentError where the blob is missing or not what was written. */
export async function readRawPage(
  raw: BlobContainer,
  page: { readonly path: string; readonly sha256: string },
): Promise<Uint8Array> {
  const blob = await raw.get(page.path)
  if (blob === null) throw new PermanentError(`raw page ${page.path}: expected a blob, there is none`)
  const body = await decompress(blob.body, { chunkSize: GUNZIP_CHUNK_BYTES, maxOutputLength: BODY_BYTES_MAX }).catch(
    (error) => {
      throw new PermanentError(
        `raw page ${page.path}: expected gzip, got ${blob.body.byteLength} bytes that are not (${toError(error).message})`,
      )
    },
  )
  const sha256 = sha256Hex(body)
  if (sha256 !== page.sha256) {
    throw new PermanentError(
      `raw page ${page.path}: expected sha256 ${page.sha256}, got ${sha256} (${body.byteLength} bytes)`,
    )
  }
  return body
}

// Guarded by the epoch: a worker that lost its lease adds no page to a chain.
const INSERT: Statement = {
  name: 'insert_raw_page',
  text: `
insert into provenance.raw_page
       (source_ingest_id, epoch, page_no, path, sha256, stored_bytes, body_bytes, record_count, http_status, observed_at,
        request_fingerprint, token_sha256, next_token_sha256, is_last)
select i.source_ingest_id, i.epoch, $3::int, $4::text, $5::text, $6::bigint, $7::bigint, $8::int, $9::int,
       $10::timestamptz, $11::text, $12::text, $13::text, $14::boolean
  from provenance.source_ingest i
 where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.state = 'landing'
   for share
returning page_no`,
}

export type RawPageRow = Pick<
  RawPage,
  'sourceIngestId' | 'epoch' | 'pageNo' | 'path' | 'observedAt' | 'requestFingerprint'
> &
  StoredPage & {
    /** Null: kept as evidence, but no page of this source; such a chain never lands. */
    readonly recordCount: number | null
    /** Null: copied from a file. */
    readonly httpStatus: number | null
    readonly token: string | null
    readonly nextToken: string | null
    readonly isLast: boolean
  }

/** False where the lease is lost. */
export async function recordRawPage(db: Queryable, page: RawPageRow): Promise<boolean> {
  const rows = await db.query(INSERT, [
    page.sourceIngestId,
    page.epoch,
    page.pageNo,
    page.path,
    page.sha256,
    page.storedBytes,
    page.bodyBytes,
    page.recordCount,
    page.httpStatus,
    page.observedAt,
    page.requestFingerprint,
    tokenSha256(page.token),
    tokenSha256(page.nextToken),
    page.isLast,
  ])
  return rows.length === 1
}

function tokenSha256(token: string | null): string | null {
  return token === null ? null : sha256Hex(token)
}
