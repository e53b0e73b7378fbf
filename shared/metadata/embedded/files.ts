/** Paths have slashes, wherever the files are. */
export type FileFacts = { readonly path: string; readonly bytes: number }

/** That this process is the one that writes. */
export type WriterLock = {
  /** Throws LeaseLostError where another writer has it now. Called before every write. */
  readonly hold: () => Promise<void>
  readonly release: () => Promise<void>
}

/**
 * Where an embedded repository lives: a folder or a container. What resolved is durable. What throws may have
 * happened, or happened in part.
 */
export type EmbeddedFiles = {
  /** For messages. */
  readonly place: string
  /** Throws LeaseLostError where another writer has it. */
  readonly lock: (path: string) => Promise<WriterLock>
  /** Adds to a file (absent: an empty one) of exactly `position` bytes. False, and nothing is added, where it has others. */
  readonly append: (path: string, body: Uint8Array, position: number) => Promise<boolean>
  /** Makes a file shorter: what a crash tore. */
  readonly cut: (path: string, bytes: number) => Promise<void>
  /** False where it is there; of a folder it may be there in part, after a crash. */
  readonly create: (path: string, body: Uint8Array) => Promise<boolean>
  /** Readers see the old file or the new one, never a part. */
  readonly replace: (path: string, body: Uint8Array) => Promise<void>
  /** From byte `from` on; null where there is no file. */
  readonly read: (path: string, from?: number) => Promise<Uint8Array | null>
  /** Files directly in a folder, by path; none where it is absent. */
  readonly list: (folder: string) => Promise<readonly FileFacts[]>
}
