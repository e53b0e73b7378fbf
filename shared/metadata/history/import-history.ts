import type { Log } from '../../log/log.ts'
import type { Database } from '../../postgres/database.ts'
import type { MetadataRepository } from '../model/repository.ts'
import type { ImportSummary } from './import-summary.ts'

/** `name` becomes the provenance of what it tells: the path as a person knows it, not one of this machine. */
export type ImportFile =
  | { readonly name: string; readonly text: string }
  | { readonly name: string; readonly path: string }

export type ImportOptions = {
  /** The metadata database: events are kept there, and revisions are known there. */
  readonly db: Database
  /** Of `tenant`, in that database. */
  readonly repository: Pick<MetadataRepository, 'bulkStore'>
  readonly files: Iterable<ImportFile> | AsyncIterable<ImportFile>
  readonly tenant: string
  readonly log: Log
  /** Reads the files and writes nothing. */
  readonly dryRun?: boolean | undefined
  /** Between batches; what was written stays, and a repetition goes on from there. */
  readonly signal?: AbortSignal | undefined
}

export async function importHistory(_options: ImportOptions): Promise<ImportSummary> {
  throw new Error('history import: expected to be written, got a first state')
}
