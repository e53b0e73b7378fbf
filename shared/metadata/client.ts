import type { MetadataEnvironment, MetadataRecord } from './model/record.ts'
import type { MetadataRepository, Series } from './model/repository.ts'
import { createEmitter, type Emitter, type EmitterOptions } from './remote/emitter.ts'
import { remoteRepository } from './remote/http-repository.ts'
import { isNothing } from './remote/problem.ts'
import { openServiceClient, readAnswer, type ServiceClientOptions } from './remote/service-client.ts'
import { type KindSummary, kindsAnswer, type LineageAnswer, lineageAnswer } from './remote/wire.ts'

// `tributary/metadata`: what this file exports is the public surface. It loads zod, Node's own modules and files of
// this repository that load nothing else.
export { AuthError, ConfigError, ContractError, PermanentError, ThrottledError, TransientError } from '../errors.ts'
export { buildRecord, type RecordParts } from './model/build-record.ts'
export type { BuiltInKind } from './model/kind.ts'
export { type CatalogDiff, catalogDiff } from './model/kinds/catalog-diff.ts'
export { type GuardDecision, guardDecision } from './model/kinds/guard-decision.ts'
export { type IngestionRuntime, ingestionRuntime } from './model/kinds/ingestion-runtime.ts'
export { type IngestionVolume, ingestionVolume } from './model/kinds/ingestion-volume.ts'
export { type ReconResult, reconResult } from './model/kinds/recon-result.ts'
export { type Schedule, schedule } from './model/kinds/schedule.ts'
export {
  type SchemaColumn,
  type SchemaSnapshot,
  schemaFingerprint,
  schemaSnapshot,
} from './model/kinds/schema-snapshot.ts'
export { type StatisticsSnapshot, statisticsSnapshot } from './model/kinds/statistics-snapshot.ts'
export type { FieldError, ProblemCode, RecordProblem } from './model/problem.ts'
export type {
  MetadataContext,
  MetadataEnvironment,
  MetadataLinks,
  MetadataRecord,
  MetadataTarget,
  NewMetadataRecord,
} from './model/record.ts'
export {
  type AggregateCell,
  type AggregatePage,
  type AggregateQuery,
  type LatestRecord,
  type MetadataRepository,
  type PageRequest,
  QueryError,
  type RecordFilter,
  type RecordPage,
  type Series,
  type StoreResult,
} from './model/repository.ts'
export type { Emitter, EmitterOptions } from './remote/emitter.ts'
export type { FlushCounts } from './remote/flush-counts.ts'
export type { TokenSource } from './remote/service-client.ts'
export type { KindSummary, LineageAnswer } from './remote/wire.ts'

export type MetadataClientOptions = Pick<ServiceClientOptions, 'url' | 'token' | 'send' | 'readMs' | 'writeMs'> & {
  /** Where records are produced, unless they say so. A tenant here must be the token's. */
  readonly environment?: Partial<MetadataEnvironment>
  /** How long a last answer of `latest` serves where the service gives none, ms; 0: never. */
  readonly cacheMs?: number
}

export type LineageQuery = {
  readonly direction?: 'up' | 'down' | 'both'
  /** Steps, at most 3. */
  readonly depth?: number
} & ({ readonly runId: string } | { readonly target: Series['target'] })

export type MetadataClient = MetadataRepository & {
  /** The whole history of a series, newest first, page by page as it is read. */
  readonly eachOf: (series: Series) => AsyncGenerator<MetadataRecord, void, undefined>
  /** Null where nothing is known of the run or target. */
  readonly lineage: (query: LineageQuery) => Promise<LineageAnswer | null>
  readonly kinds: () => Promise<readonly KindSummary[]>
  readonly emitter: (options?: EmitterOptions) => Emitter
}

const PAGE = 500

/** A deployment's metadata, over HTTP. Throws ConfigError for an address that is none. */
export function createMetadataClient(options: MetadataClientOptions): MetadataClient {
  const client = openServiceClient(options)
  const repository = remoteRepository(client, options)
  return {
    ...repository,
    async *eachOf(series) {
      for (let after: string | undefined; ; ) {
        const { records, next } = await repository.history(series, { limit: PAGE, after })
        yield* records
        if (next === null) return
        after = next
      }
    },
    async lineage({ direction, depth, ...start }) {
      const named = 'target' in start ? namesOf(start.target) : { runId: start.runId }
      const answer = await client.get('/lineage', { ...named, direction, depth })
      return isNothing(answer) ? null : readAnswer(lineageAnswer, answer, 'GET /lineage')
    },
    async kinds() {
      const answer = await client.get('/kinds')
      return readAnswer(kindsAnswer, answer, 'GET /kinds').kinds
    },
    emitter: (given = {}) =>
      createEmitter(client, { ...(options.environment && { environment: options.environment }), ...given }),
  }
}

function namesOf({ sourceId, schema, table }: Series['target']) {
  return { sourceId, schema, table }
}
