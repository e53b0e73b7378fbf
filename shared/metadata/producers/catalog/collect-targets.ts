import { toError } from '../../../errors.ts'
import type { Instant } from '../../../instant.ts'
import type { Log } from '../../../log/log.ts'
import { catalogDiff } from '../../model/kinds/catalog-diff.ts'
import { schemaSnapshot } from '../../model/kinds/schema-snapshot.ts'
import { statisticsSnapshot } from '../../model/kinds/statistics-snapshot.ts'
import type { NewMetadataRecord } from '../../model/record.ts'
import type { MetadataRepository } from '../../model/repository.ts'
import { createProducerRunner, type MetadataProducer } from '../producer.ts'
import { catalogProducer } from './catalog-producer.ts'
import { SUSPECT_SCOPE } from './catalog-records.ts'
import type { CatalogTarget } from './finding.ts'

export type CollectOptions = {
  /** What is told is of this instant. */
  readonly now: Instant
  readonly repository: Pick<MetadataRepository, 'latest' | 'bulkStore'>
  /** Targets looked at at once. */
  readonly atOnce?: number | undefined
  /** No further target is begun; what is left out is told by the next run. */
  readonly stop?: AbortSignal | undefined
  /** A person looked: half of the columns are really gone. */
  readonly acceptSuspect?: boolean | undefined
}

/** Records that were stored; a replay is none. */
export type Collected = {
  /** That were looked at. */
  readonly targets: number
  readonly snapshots: number
  readonly statistics: number
  readonly differences: number
  /** Snapshots in which half of the columns were gone. */
  readonly suspect: number
  readonly replayed: number
  /** Targets of which not all could be told; the log says why. */
  readonly failed: number
}

const AT_ONCE = 4

const COUNTS = new Map<string, 'snapshots' | 'statistics' | 'differences'>([
  [schemaSnapshot.kind, 'snapshots'],
  [statisticsSnapshot.kind, 'statistics'],
  [catalogDiff.kind, 'differences'],
])

/** Tells of every target what there is to tell. One that fails stops no other; what lists them is let through. */
export async function collectTargets(
  targets: AsyncIterable<CatalogTarget>,
  log: Log,
  options: CollectOptions,
): Promise<Collected> {
  const counts = { targets: 0, snapshots: 0, statistics: 0, differences: 0, suspect: 0, replayed: 0, failed: 0 }
  const iterator = targets[Symbol.asyncIterator]()
  const work = async () => {
    while (!options.stop?.aborted) {
      const next = await iterator.next()
      if (next.done) return
      counts.targets++
      const { records, outcomes, failed } = await collectOne(next.value, log, options)
      if (failed) counts.failed++
      for (const [place, outcome] of outcomes.entries()) {
        const record = records[place]
        if (outcome === 'replayed') counts.replayed++
        if (outcome !== 'stored' || record === undefined) continue
        const name = record.scope === SUSPECT_SCOPE ? 'suspect' : COUNTS.get(record.kind)
        if (name !== undefined) counts[name]++
      }
    }
  }
  const { atOnce = AT_ONCE } = options
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, work))
  await iterator.return?.()
  for (const end of ends) if (end.status === 'rejected') throw toError(end.reason)
  log.info('catalog_collected', counts)
  return counts
}

async function collectOne({ target, jobId, find }: CatalogTarget, log: Log, options: CollectOptions) {
  const { repository, now, acceptSuspect } = options
  const targetLog = log.with({ target: `${target.sourceId}/${target.schema}/${target.table}` })
  const records: NewMetadataRecord[] = []
  const inner = catalogProducer({ find, repository, now, acceptSuspect })
  const producer: MetadataProducer = {
    ...inner,
    async produce(request) {
      records.push(...(await inner.produce(request)))
      return records
    },
  }
  const runner = createProducerRunner({ producers: [producer], repository, log: targetLog })
  const [produced] = await runner.run({ target, context: { namespace: 'catalog', jobId } })
  const outcomes = produced?.results.map(({ outcome }) => outcome) ?? []
  const suspect = records.find(({ scope }) => scope === SUSPECT_SCOPE)
  if (suspect !== undefined) targetLog.warn('catalog_suspect', { fingerprint: suspect.payload.fingerprint })
  return { records, outcomes, failed: produced?.error !== null }
}
