import { verifyPartitions } from '../../shared/ingest/repair/verify.ts'
import type { Platform } from '../../shared/platform.ts'

/** Paths of published files whose bytes are not exactly what the raw pages of their ingests make (L1). */
export async function filesUnlikeTheirRaw(platform: Platform): Promise<readonly string[]> {
  const unlike: string[] = []
  for await (const verdict of verifyPartitions(platform, new AbortController().signal)) {
    if (verdict.kind === 'different' || verdict.kind === 'pending') unlike.push(`${verdict.path} ${verdict.kind}`)
  }
  return unlike
}
