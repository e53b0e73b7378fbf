import { partitionPath, splitByPartition } from '../../curated/partition-path.ts'
import { allColumns } from '../../datasets/contract.ts'
import { emptyBatch } from '../../datasets/row-batch.ts'
import type { Platform } from '../../platform.ts'
import { fileVersionOf } from '../plan/file-version.ts'
import { markVersions } from '../plan/mark-versions.ts'
import { bindClaim } from '../state/bind-claim.ts'
import { type CurateClaim, placeOf } from '../state/claim.ts'
import { lockStream } from '../state/lock-stream.ts'
import { checkRejectLimits, parsePages } from './parse-pages.ts'
import type { WrittenPartition } from './partition-target.ts'
import { publish } from './publish.ts'
import { writePartition } from './write-partition.ts'

/**
 * Turns the raw pages of a landed ingest into rows of curated files and publishes them: from here on readers may trust
 * the window, and the version of a file takes the place of those before it. Asks nobody but the lake and Postgres.
 * Returns the rebuilds that follow. Throws by what to do; the caller settles the ingest.
 */
export async function curateLanded(
  platform: Platform,
  claim: CurateClaim,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { source, bound } = bindClaim(platform, claim)
  const { dataset, transformVersion } = source
  const window = claim.lo === null || claim.hi === null ? null : { lo: claim.lo, hi: claim.hi }
  const parsed = await parsePages({ raw: platform.raw, dataset, bound, pages: claim.pages, window, signal })
  checkRejectLimits(claim.sourceIngestId, parsed)
  const reached = splitByPartition(dataset, placeOf(claim), parsed.rows)
  // An earlier attempt, under another transform, may have brought rows where this one has none: it takes them out.
  const leftBehind = claim.listedIn
    .filter((key) => !reached.some(({ partitionKey }) => partitionKey === key))
    .map((key) => ({
      partitionKey: key,
      path: partitionPath(dataset.name, key),
      rows: emptyBatch(allColumns(dataset)),
    }))
  const written: WrittenPartition[] = []
  for (const { partitionKey, path, rows } of [...reached, ...leftBehind]) {
    written.push(
      await writePartition({
        platform,
        claim,
        dataset,
        bound,
        transformVersion,
        partitionKey,
        path,
        incoming: rows,
        signal,
      }),
    )
  }
  signal.throwIfAborted()
  const file = fileVersionOf(claim)
  if (file === null) {
    await publish(platform.db, claim, parsed, written)
    return []
  }
  const { streamId, sourceIngestId } = claim
  return platform.db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    await publish(tx, claim, parsed, written)
    const by = { sourceIngestId, version: file.version }
    const { rebuilds } = await markVersions(tx, {
      streamId,
      name: file.name,
      mark: { kind: 'superseded', by, which: 'older' },
    })
    return rebuilds
  })
}
