import { splitByPartition } from '../curated/partition-path.ts'
import type { Platform } from '../platform.ts'
import { bindClaim } from './bind-claim.ts'
import type { CurateClaim } from './claim.ts'
import { checkRejectLimits, parsePages } from './parse-pages.ts'
import { publish, type WrittenPartition } from './publish.ts'
import { placeOf, writePartition } from './write-partition.ts'

/**
 * Turns the raw pages of a landed ingest into rows of curated files and publishes them: from here on readers may trust
 * the window. Asks nobody but the lake and Postgres. Throws by what to do; the caller settles the ingest.
 */
export async function curateWindow(platform: Platform, claim: CurateClaim, signal: AbortSignal): Promise<void> {
  const { source, bound } = bindClaim(platform, claim)
  const { dataset, transformVersion } = source
  const window = claim.lo === null || claim.hi === null ? null : { lo: claim.lo, hi: claim.hi }
  const parsed = await parsePages({ raw: platform.raw, dataset, bound, pages: claim.pages, window, signal })
  checkRejectLimits(claim.sourceIngestId, parsed)
  const written: WrittenPartition[] = []
  for (const { partitionKey, path, rows } of splitByPartition(dataset, placeOf(claim), parsed.rows)) {
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
  await publish(platform.db, claim, parsed, written)
}
