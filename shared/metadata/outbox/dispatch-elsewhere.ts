import { checkAll } from '../model/check.ts'
import type { MetadataRepository } from '../model/repository.ts'
import {
  addDispatched,
  type CheckedRow,
  checkRow,
  concludeRows,
  type DispatchBatch,
  type Dispatched,
  type DispatchSource,
  NOTHING_DISPATCHED,
  sortRows,
} from './dispatch.ts'
import { leaseOutbox } from './outbox-claim.ts'

/** Longer than a batch takes elsewhere; after it a row comes again, which the store tells from a new one. */
const LEASE_S = 300

/**
 * Moves the outbox into a repository that its transactions do not reach: rows are leased, handed over, and deleted only
 * when they are stored there. A crash in between hands them over again, and they are replays. Throws where a repository
 * does not answer, so that nobody goes on with the rows that follow.
 */
export function dispatchElsewhere(
  source: DispatchSource,
  repositoryOf: (tenant: string) => Promise<MetadataRepository>,
): DispatchBatch {
  return async (batchMax) => {
    const rows = await leaseOutbox(source.db, batchMax, LEASE_S)
    if (rows.length === 0) return null
    await source.kinds.refresh()
    const results = await checkAll(source.kinds, rows, (row, kinds) => checkRow(source, row, kinds))
    const { good, refused } = sortRows(rows, results)
    const wrong = refused.map(({ row, problem }) => ({ row, result: { outcome: 'refused' as const, problem } }))
    let sum = NOTHING_DISPATCHED
    if (wrong.length > 0) sum = await source.db.transaction((tx) => concludeRows(tx, source, wrong))
    let failure: unknown
    for (const tenant of new Set(good.map(({ checked }) => checked.tenant))) {
      const theirs = good.filter(({ checked }) => checked.tenant === tenant)
      try {
        sum = addDispatched(sum, await handOver(source, await repositoryOf(tenant), theirs))
      } catch (error) {
        // One tenant's trouble is not the others'; its rows wait until their lease has run out.
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return sum
  }
}

async function handOver(
  source: DispatchSource,
  repository: MetadataRepository,
  rows: readonly CheckedRow[],
): Promise<Dispatched> {
  const results = await repository.bulkStore(rows.map(({ checked }) => checked.record))
  const told = rows.map(({ row }, index) => {
    const result = results[index]
    if (result === undefined) throw new Error(`repository: expected ${rows.length} results, got ${results.length}`)
    return { row, result }
  })
  return source.db.transaction((tx) => concludeRows(tx, source, told))
}
