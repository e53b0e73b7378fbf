import { ContractError, LeaseLostError, PermanentError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import { recordRawPage, storeRawPage } from '../../provenance/raw-page.ts'
import { rawPath } from '../../provenance/raw-path.ts'
import { sha256Hex } from '../../sha256.ts'
import { type FileVersion, fileVersionOf } from '../plan/file-version.ts'
import { bindFiles } from '../state/bind-claim.ts'
import { type Claim, streamKeyOf } from '../state/claim.ts'
import { markLanded } from './landed.ts'

/** The version of the file was replaced before it could be copied: there is nothing to ingest any more. */
export class FileGoneError extends Error {
  override readonly name = 'FileGoneError'
}

/**
 * Copies one version of a file to raw, before it is read, and lands it. Its rows are observed at its change time, so
 * the newer file wins whenever it is taken. Throws by what to do; the caller settles the ingest.
 */
export async function landFile(platform: Platform, claim: Claim, signal: AbortSignal): Promise<'landed' | 'empty'> {
  const { source, bound } = bindFiles(platform, claim)
  const file = fileVersionOf(claim)
  if (file === null)
    throw new PermanentError(`ingest ${claim.sourceIngestId}: expected the version of a file, got none`)
  if (file.bytes > source.bodyBytesMax) {
    throw new ContractError(`file ${file.name}: expected at most ${source.bodyBytesMax} bytes, got ${file.bytes}`)
  }
  const body = await readVersion(platform, file)
  signal.throwIfAborted()
  const page = {
    sourceIngestId: claim.sourceIngestId,
    epoch: claim.epoch,
    pageNo: 0,
    path: rawPath({ ...claim, at: file.modifiedAt, pageNo: 0, ending: endingOf(file.name) }),
    observedAt: file.modifiedAt,
    requestFingerprint: sha256Hex(`landing/${file.name}`),
  }
  const stored = await storeRawPage(platform.raw, { ...page, of: file, body, streamKey: streamKeyOf(claim) })
  const counted = bound.count(body)
  const recorded = await recordRawPage(platform.db, {
    ...page,
    ...stored,
    recordCount: counted.kind === 'file' ? counted.records : null,
    httpStatus: null,
    token: null,
    nextToken: null,
    isLast: counted.kind === 'file',
  })
  if (!recorded) throw new LeaseLostError(`file ${file.name}: epoch ${claim.epoch} is no longer mine`)
  signal.throwIfAborted()
  if (counted.kind === 'broken') throw new ContractError(`file ${file.name}: ${counted.detail}`)
  return markLanded(platform.db, claim)
}

/** Exactly the bytes that were hashed when the version was planned. */
async function readVersion({ landing }: Platform, file: FileVersion): Promise<Uint8Array> {
  const blob = await landing.get(file.name)
  if (blob === null || blob.etag !== file.etag) {
    const found = blob === null ? 'none' : `one of ETag ${blob.etag}`
    throw new FileGoneError(
      `file ${file.name} version ${file.version}: expected a blob of ETag ${file.etag}, got ${found}`,
    )
  }
  const sha256 = sha256Hex(blob.body)
  if (sha256 === file.sha256) return blob.body
  throw new PermanentError(
    `file ${file.name} version ${file.version}: expected sha256 ${file.sha256} under ETag ${file.etag}, got ${sha256}`,
  )
}

/** What the name ends with, as far as a path can say it. */
function endingOf(name: string): string {
  return /\.([a-z0-9]{1,8})$/i.exec(name)?.[1]?.toLowerCase() ?? 'bin'
}
