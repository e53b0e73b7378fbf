import { z } from 'zod'
import { PermanentError } from '../../errors.ts'
import type { Platform } from '../../platform.ts'
import type {
  BoundFiles,
  BoundProvider,
  BoundSource,
  FileSource,
  ProviderSource,
  Source,
} from '../../sources/contract.ts'
import type { Claim } from './claim.ts'

type Sources = Pick<Platform, 'sources'>

/** The source of a claimed ingest, bound to the parameters that are stored with its stream. */
export function bindClaim(
  { sources }: Sources,
  claim: Claim,
): { readonly source: Source; readonly bound: BoundSource } {
  const source = sourceOf(sources, claim)
  return { source, bound: bind<BoundSource>(source, claim) }
}

/** The same for an ingest of a window: its source is asked over HTTP. */
export function bindProvider(
  { sources }: Sources,
  claim: Claim,
): { readonly source: ProviderSource; readonly bound: BoundProvider } {
  const source = sourceOf(sources, claim)
  if (source.kind === 'provider') return { source, bound: bind(source, claim) }
  throw new PermanentError(`ingest ${claim.sourceIngestId}: expected a provider to ask, got the files of ${source.id}`)
}

/** The same for an ingest of a file. */
export function bindFiles(
  { sources }: Sources,
  claim: Claim,
): { readonly source: FileSource; readonly bound: BoundFiles } {
  const source = sourceOf(sources, claim)
  if (source.kind === 'files') return { source, bound: bind(source, claim) }
  throw new PermanentError(`ingest ${claim.sourceIngestId}: expected a source of files, got ${source.id}`)
}

function sourceOf(sources: Platform['sources'], { sourceIngestId, source: id }: Claim): Source {
  const source = sources.get(id)
  if (source === undefined) throw new PermanentError(`ingest ${sourceIngestId}: expected a known source, got ${id}`)
  return source
}

function bind<Bound>(
  source: { readonly id: string; readonly bind: (params: unknown) => Bound },
  { sourceIngestId, params }: Claim,
): Bound {
  try {
    return source.bind(params)
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const problems = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
    throw new PermanentError(`ingest ${sourceIngestId}: expected parameters of ${source.id}, got others (${problems})`)
  }
}
