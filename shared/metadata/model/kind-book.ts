import type { MetadataKinds } from './kinds.ts'

/** The kinds that may be written, as far as this process knows. */
export type KindBook = {
  readonly known: () => MetadataKinds
  /** Asks the registry again, at most every few seconds: for whoever meets a kind or version that is not known. */
  readonly reload: () => Promise<void>
}

/** Only these, for ever. */
export function fixedKinds(kinds: MetadataKinds): KindBook {
  return { known: () => kinds, reload: async () => undefined }
}
