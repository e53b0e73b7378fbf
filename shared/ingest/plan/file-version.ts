import { z } from 'zod'
import { ConfigError, PermanentError } from '../../errors.ts'
import { formatInstant, type Instant, parseInstant } from '../../instant.ts'
import { sample } from '../../json.ts'
import type { Claim } from '../state/claim.ts'

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

/** What Azure names a blob with at most. */
const NAME_CHARS_MAX = 1_024
/** A row of an index of PostgreSQL has 2,704 bytes; percent-encoded, three times this fits the 8 KiB of a raw page's metadata. */
const NAME_BYTES_MAX = 2_000

// 0001-01-01 to 9999-12-31T23:59:59.999999Z: PostgreSQL has no year 0, and nobody reads five digits.
const CHANGED_MIN = -62_135_596_800_000_000n
const CHANGED_MAX = 253_402_300_799_999_999n

const parameters = z.strictObject({
  name: z.string().check(({ value, issues }) => {
    const problem = problemOfName(value)
    if (problem !== null) issues.push({ code: 'custom', message: problem, input: value })
  }),
  version: z.int().positive(),
  etag: z.string().min(1),
  sha256: z.hash('sha256'),
  bytes: z.int().nonnegative(),
  modifiedAt: z.string().transform((text, context) => {
    const instant = parseInstant(text)
    if (instant !== undefined && instant >= CHANGED_MIN) return instant
    context.addIssue({ code: 'custom', message: `expected an instant, got "${sample(text, 60)}"` })
    return z.NEVER
  }),
})

/**
 * Why no file can have this name; null where one can. The client of the storage resolves `..`, so that `../raw/x` would
 * be a blob of another container; Azure drops a dot at the end of a part and takes a backslash for a slash.
 */
export function problemOfName(name: string): string | null {
  const shown = sample(JSON.stringify(name), 80)
  const bytes = Buffer.byteLength(name)
  if (name.length > NAME_CHARS_MAX || bytes > NAME_BYTES_MAX) {
    const limit = `at most ${NAME_CHARS_MAX} characters and ${NAME_BYTES_MAX} bytes`
    return `expected ${limit}, got ${name.length} characters and ${bytes} bytes (${shown})`
  }
  if (!name.isWellFormed() || /[\p{Cc}\\\uFFFE\uFFFF]/u.test(name)) {
    return `expected no control character, backslash or half of a character, got ${shown}`
  }
  const isWhole = name.split('/').every((part) => part !== '' && !part.endsWith('.'))
  return isWhole ? null : `expected parts between slashes that are not empty and do not end with a dot, got ${shown}`
}

/** Throws ConfigError where it can be no version of a file: whoever put it there must name or date it otherwise. */
export function checkSeenFile({ name, modifiedAt }: SeenFile): void {
  const problems: string[] = []
  const problem = problemOfName(name)
  if (problem !== null) problems.push(`file name: ${problem}`)
  if (modifiedAt < CHANGED_MIN || modifiedAt > CHANGED_MAX) {
    const shown = sample(JSON.stringify(name), 80)
    problems.push(`file ${shown}: expected a change time in the years 1 to 9999, got ${modifiedAt} µs since 1970`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
}

/** As it stands in `source_ingest.parameters`. */
export function formatFileVersion(file: FileVersion): string {
  return JSON.stringify({ ...file, modifiedAt: formatInstant(file.modifiedAt) })
}

/** The file that an ingest is of; null where it is of a window, or a rebuild. */
export function fileVersionOf(claim: Claim): FileVersion | null {
  if (claim.lane !== 'import' || claim.lo !== null) return null
  const parsed = parameters.safeParse(claim.parameters)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues
    .map(({ path, message }) => `${path.length === 0 ? 'parameters' : path.join('.')}: ${message}`)
    .join('; ')
  throw new PermanentError(`ingest ${claim.sourceIngestId}: expected the version of a file, got another (${problems})`)
}
