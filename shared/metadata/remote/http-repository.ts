import { ConfigError } from '../../errors.ts'
import { sample } from '../../json.ts'
import { normalAggregate } from '../model/aggregate-query.ts'
import { readJson } from '../model/json-input.ts'
import type { MetadataEnvironment, MetadataRecord } from '../model/record.ts'
import { normalSeries } from '../model/record-filter.ts'
import {
  type MetadataRepository,
  type PageRequest,
  QueryError,
  type RecordFilter,
  type RecordPage,
  type Series,
  type StoreResult,
} from '../model/repository.ts'
import { recordPage } from '../service/wire/records.ts'
import { createLatestCache } from './latest-cache.ts'
import { isNothing } from './problem.ts'
import { latestReader } from './read-latest.ts'
import { type RecordLine, recordLine } from './record-line.ts'
import { sendRecords } from './send-records.ts'
import { openServiceClient, readAnswer, type ServiceClient, type ServiceClientOptions } from './service-client.ts'
import { aggregatePage } from './wire.ts'

export type RemoteRepositoryOptions = ServiceClientOptions & {
  /** Where records are produced, unless they say so. Its tenant is whose the token is said to be. */
  readonly environment?: Partial<MetadataEnvironment>
  /** How long a last answer serves where the service gives none, ms; 0: never. */
  readonly cacheMs?: number
  /** ms, of any origin. */
  readonly clock?: () => number
}

const CACHE_MS = 300_000

/** Metadata records of another deployment's service: those of the tenant that the token belongs to. */
export function openRemoteRepository(options: RemoteRepositoryOptions): MetadataRepository {
  return remoteRepository(openServiceClient(options), options)
}

/**
 * Reads that are not answered in time throw TransientError or ThrottledError (`latest` only where it has no last answer):
 * it is the caller's to go on without. A token that is refused is AuthError.
 */
export function remoteRepository(
  client: ServiceClient,
  options: Pick<RemoteRepositoryOptions, 'environment' | 'cacheMs' | 'clock'>,
): MetadataRepository {
  const { environment = {}, cacheMs = CACHE_MS, clock = () => performance.now() } = options

  const bulkStore = async (records: readonly unknown[]): Promise<readonly StoreResult[]> => {
    const lines: RecordLine[] = []
    const places = records.map((record) => {
      const made = recordLine(record, environment)
      return made.ok ? lines.push(made.line) - 1 : { outcome: 'refused' as const, problem: made.problem }
    })
    const { results, error } = await sendRecords(client, lines)
    if (error !== null) throw error
    return places.map((place) => (typeof place === 'number' ? (results[place] as StoreResult) : place))
  }

  const checkTenant = (records: readonly MetadataRecord[]) => {
    const { tenant } = environment
    const foreign = records.find((record) => tenant !== undefined && record.context.environment.tenant !== tenant)
    if (foreign === undefined) return
    const came = foreign.context.environment.tenant
    throw new ConfigError([`token of the metadata service: expected one of tenant ${tenant}, got one of ${came}`])
  }

  const listed = async (filter: RecordFilter, { limit, after }: PageRequest): Promise<RecordPage> => {
    const { target, extras = {}, ...rest } = filter
    const facets = Object.entries(extras).map(([name, value]) => [`extras.${name}`, String(value)] as const)
    const parameters = { ...rest, ...namesOf(target), ...Object.fromEntries(facets), limit, cursor: after }
    const answer = await client.get('/records', parameters)
    if (isNothing(answer)) return { records: [], next: null }
    const { records, next } = readAnswer(recordPage, answer, 'GET /records')
    checkTenant(records)
    return { records, next }
  }

  return {
    bulkStore,
    store: async (record) => (await bulkStore([record]))[0] as StoreResult,
    ...latestReader(client, createLatestCache(cacheMs, clock), checkTenant),
    history: async (series, page = {}) => listed(normalSeries(series), page),
    query: async (filter, page = {}) => listed(checkFilter(filter), page),
    async aggregate(asked, { limit, after } = {}) {
      const { target, ...rest } = normalAggregate(asked)
      const answer = await client.get('/aggregates', { ...rest, ...namesOf(target), limit, cursor: after })
      return isNothing(answer) ? { cells: [], next: null } : readAnswer(aggregatePage, answer, 'GET /aggregates')
    },
  }
}

function namesOf(target: Series['target'] | undefined) {
  return target && { sourceId: target.sourceId, schema: target.schema, table: target.table }
}

/** A lone surrogate would be asked for as another character. */
function checkFilter(filter: RecordFilter): RecordFilter {
  const json = readJson(filter)
  if (json.ok) return filter
  const [error] = json.errors
  throw new QueryError('invalid-query', `filter${error?.pointer}: ${sample(error?.detail ?? 'invalid', 80)}`)
}
