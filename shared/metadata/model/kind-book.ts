import type { MetadataKinds } from './kinds.ts'
import type { RecordProblem } from './problem.ts'

/** The kinds that may be written, as far as this process knows. */
export type KindBook = {
  readonly known: () => MetadataKinds
  /** Asks the registry again, at most every few seconds: for whoever meets a kind or version that is not known. */
  readonly reload: () => Promise<void>
  /** The same where it was not asked for minutes: before a batch, so that a sunset set elsewhere is heard of. */
  readonly refresh: () => Promise<void>
}

/** Only these, for ever. */
export function fixedKinds(kinds: MetadataKinds): KindBook {
  return { known: () => kinds, reload: async () => undefined, refresh: async () => undefined }
}

/** An older instance meets a newer producer: the registry may know what this process does not. */
export function maybeRegistered({ code }: RecordProblem): boolean {
  return code === 'unknown-kind' || code === 'unknown-kind-version'
}
