import { z } from 'zod'
import { PermanentError } from '../errors.ts'
import type { Platform } from '../platform.ts'
import type { BoundSource, Source } from '../sources/contract.ts'
import type { Claim } from './claim.ts'

/** The source of a claimed ingest, bound to the parameters that are stored with its stream. */
export function bindClaim(
  { sources }: Pick<Platform, 'sources'>,
  { sourceIngestId, source: id, params }: Claim,
): { readonly source: Source; readonly bound: BoundSource } {
  const source = sources.get(id)
  if (source === undefined) throw new PermanentError(`ingest ${sourceIngestId}: expected a known source, got ${id}`)
  try {
    return { source, bound: source.bind(params) }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const problems = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
    throw new PermanentError(`ingest ${sourceIngestId}: expected parameters of ${id}, got others (${problems})`)
  }
}
