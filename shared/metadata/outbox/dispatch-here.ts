import type { Queryable } from '../../postgres/database.ts'
import { resultsOf, waves } from '../model/waves.ts'
import type { NameBook } from '../postgres/names.ts'
import { halving, refusalOf } from '../postgres/refusal.ts'
import { storeBatch } from '../postgres/store-batch.ts'
import {
  addDispatched,
  type CheckedRow,
  checkRows,
  concludeRows,
  type DispatchBatch,
  type Dispatched,
  type DispatchSource,
  NOTHING_DISPATCHED,
} from './dispatch.ts'
import { claimOutbox, claimTheseOfOutbox, type OutboxRow } from './outbox-claim.ts'

/**
 * Moves the outbox into the records of the same database: rows are taken, stored, told apart and deleted in ONE
 * transaction, so that a crash leaves either all of it or nothing. Nothing else deletes a row of the outbox.
 */
export function dispatchHere(source: DispatchSource, names: NameBook): DispatchBatch {
  return async (batchMax) => {
    const claimed: number[] = []
    try {
      return await moveRows(source, names, async (tx) => {
        const rows = await claimOutbox(tx, batchMax)
        claimed.push(...rows.map(({ outboxId }) => outboxId))
        return rows
      })
    } catch (error) {
      if (refusalOf(error) === null) throw error
      return moveInHalves(source, names, claimed)
    }
  }
}

async function moveInHalves(source: DispatchSource, names: NameBook, claimed: readonly number[]): Promise<Dispatched> {
  let sum = NOTHING_DISPATCHED
  await halving(
    claimed,
    async (half) => {
      const moved = await moveRows(source, names, (tx) => claimTheseOfOutbox(tx, half))
      sum = addDispatched(sum, moved ?? NOTHING_DISPATCHED)
    },
    async (outboxId, problem) => {
      const rejected = await source.db.transaction(async (tx) => {
        const rows = await claimTheseOfOutbox(tx, [outboxId])
        return concludeRows(
          tx,
          source,
          rows.map((row) => ({ row, result: { outcome: 'refused', problem } })),
        )
      })
      sum = addDispatched(sum, rejected)
    },
  )
  return sum
}

/**
 * Only the first wave: rows that name a key once more stay where they are, due, for the next batch. Each batch does away
 * with at least one row, so batches end.
 */
async function moveRows(
  source: DispatchSource,
  names: NameBook,
  claim: (tx: Queryable) => Promise<readonly OutboxRow[]>,
): Promise<Dispatched | null> {
  const moved = await source.db.transaction(async (tx) => {
    const rows = await claim(tx)
    if (rows.length === 0) return null
    const { good, refused } = checkRows(source, rows)
    const [wave = []] = waves(good.map(({ checked }) => checked))
    const batch = await storeBatch(
      tx,
      { names, kinds: source.kinds },
      wave.map(({ checked }) => checked),
    )
    const told = wave.flatMap((folded, index) => {
      const result = batch.results[index]
      const shared = result === undefined ? [] : resultsOf(folded, result)
      return shared.map(([place, result]) => ({ row: (good[place] as CheckedRow).row, result }))
    })
    const wrong = refused.map(({ row, problem }) => ({ row, result: { outcome: 'refused' as const, problem } }))
    return { dispatched: await concludeRows(tx, source, [...told, ...wrong]), committed: batch.committed }
  })
  moved?.committed()
  return moved?.dispatched ?? null
}
