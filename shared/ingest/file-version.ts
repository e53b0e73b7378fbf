import { z } from 'zod'
import { PermanentError } from '../errors.ts'
import { formatInstant, type Instant, parseInstant } from '../instant.ts'
import type { Claim } from './claim.ts'

/** A file as it was seen where others put it. */
export type SeenFile = {
  readonly name: string
  /** Of the blob when its content was hashed: what is copied later is exactly that, or nothing. */
  readonly etag: string
  /** Of the content, 64 hex digits. */
  readonly sha256: string
  readonly bytes: number
  /** When it was changed: the newer file wins a key, in whatever order files are taken. */
  readonly modifiedAt: Instant
}

/** One version of a file: what is ingested as one SourceIngest of lane `import`. Versions of a name count from 1. */
export type FileVersion = SeenFile & { readonly version: number }

const parameters = z.strictObject({
  name: z.string().min(1),
  version: z.int().positive(),
  etag: z.string().min(1),
  sha256: z.hash('sha256'),
  bytes: z.int().nonnegative(),
  modifiedAt: z.string().transform((text, context) => {
    const instant = parseInstant(text)
    if (instant !== undefined) return instant
    context.addIssue({ code: 'custom', message: `expected an instant, got "${text}"` })
    return z.NEVER
  }),
})

/** As it stands in `source_ingest.parameters`. */
export function formatFileVersion(file: FileVersion): string {
  return JSON.stringify({ ...file, modifiedAt: formatInstant(file.modifiedAt) })
}

/** The file that an ingest is of; null where it is of a window, or a rebuild. */
export function fileVersionOf(claim: Claim): FileVersion | null {
  if (claim.lane !== 'import' || claim.lo !== null) return null
  const parsed = parameters.safeParse(claim.parameters)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
  throw new PermanentError(`ingest ${claim.sourceIngestId}: expected the version of a file, got another (${problems})`)
}
