import type { NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { LatestRecord, MetadataRepository, Series } from '../../shared/metadata/model/repository.ts'
import { TARGET } from '../metadata/fact.ts'

export type OpenedRepositories = {
  readonly ours: MetadataRepository
  readonly theirs: MetadataRepository
  /** Done before `aggregate` is asked: what computes its cells has caught up. */
  readonly rolledUp?: () => Promise<void>
  readonly close: () => Promise<void>
}

/** What the tests of a repository work with. Each test has a target of its own. */
export type RepositoryHands = {
  readonly opened: () => OpenedRepositories
  readonly ours: () => MetadataRepository
  readonly series: (table: string) => Series
  readonly latestCount: (table: string) => Promise<unknown>
  /** Outcomes, or the codes of refusals. */
  readonly storeAll: (...records: readonly NewMetadataRecord[]) => Promise<readonly string[]>
}

export function handsOn(opened: () => OpenedRepositories): RepositoryHands {
  const ours = () => opened().ours
  const series = (table: string) => ({ target: { ...TARGET, table }, kind: 'ingestion_volume' })
  return {
    opened,
    ours,
    series,
    latestCount: async (table) => recordsOf(await ours().latest(series(table))),
    storeAll: async (...records) =>
      (await ours().bulkStore(records)).map((result) =>
        result.outcome === 'refused' ? result.problem.code : result.outcome,
      ),
  }
}

function recordsOf(latest: LatestRecord | null): unknown {
  return latest?.record.payload.records
}
