import type { Queryable } from '../../postgres/database.ts'
import { maybeRegistered } from '../model/kind-book.ts'
import { resultsOf, waves } from '../model/waves.ts'
import type { NameBook } from '../postgres/names.ts'
import { halving, refusalOf } from '../postgres/refusal.ts'
import { storeBatch } from '../postgres/store-batch.ts'
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
import { claimOutbox, claimTheseOfOutbox, type OutboxRow } from './outbox-claim.ts'

/**
 * Moves the outbox into the records of the same database: rows are taken, stored, told apart and deleted in ONE
 * transaction, so that a crash leaves either all of it or nothing. Nothing else deletes a row of the outbox.
 */
export function dispatchHere(source: DispatchSource, names: NameBook): DispatchBatch {
  return async (batchMax) => {
    const claimed: number[] = []
    await source.kinds.refresh()
    try {
      const moved = await moveRows(source, names, async (tx) => {
        const rows = await claimOutbox(tx, batchMax)
        claimed.push(...rows.map(({ outboxId }) => outboxId))
        return rows
      })
      if (moved === null || moved.unknown.length === 0) return moved?.dispatched ?? null
      // Not in the transaction: it would wait for a second connection of a pool of two.
      await source.kinds.reload()
      return addDispatched(moved.dispatched, await moveThese(source, names, moved.unknown))
    } catch (error) {
      if (refusalOf(error) === null) throw error
      await source.kinds.reload()
      return moveInHalves(source, names, claimed)
    }
  }
}

async function moveInHalves(source: DispatchSource, names: NameBook, claimed: readonly number[]): Promise<Dispatched> {
  let sum = NOTHING_DISPATCHED
  await halving(
    claimed,
    async (half) => {
      sum = addDispatched(sum, await moveThese(source, names, half))
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

/** Once the registry was asked: what is unknown now is refused. */
async function moveThese(source: DispatchSource, names: NameBook, outboxIds: readonly number[]): Promise<Dispatched> {
  const moved = await moveRows(source, names, (tx) => claimTheseOfOutbox(tx, outboxIds), 'refuse unknown kinds')
  return moved?.dispatched ?? NOTHING_DISPATCHED
}

type Moved = {
  readonly dispatched: Dispatched
  /** Rows of a kind or version that is not known, left as they were. */
  readonly unknown: readonly number[]
}

/**
 * Only the first wave: rows that name a key once more stay where they are, due, for the next batch. Each batch does away
 * with at least one row, so batches end.
 */
async function moveRows(
  source: DispatchSource,
  names: NameBook,
  claim: (tx: Queryable) => Promise<readonly OutboxRow[]>,
  unknownKinds: 'leave unknown kinds' | 'refuse unknown kinds' = 'leave unknown kinds',
): Promise<Moved | null> {
  const known = source.kinds.known()
  const moved = await source.db.transaction(async (tx) => {
    const rows = await claim(tx)
    if (rows.length === 0) return null
    const { good, refused } = sortRows(
      rows,
      rows.map((row) => checkRow(source, row, known)),
    )
    const left = refused.filter(({ problem }) => unknownKinds === 'leave unknown kinds' && maybeRegistered(problem))
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
    const wrong = refused
      .filter((one) => !left.includes(one))
      .map(({ row, problem }) => ({ row, result: { outcome: 'refused' as const, problem } }))
    const dispatched = await concludeRows(tx, source, [...told, ...wrong])
    return { dispatched, unknown: left.map(({ row }) => row.outboxId), committed: batch.committed }
  })
  moved?.committed()
  return moved
}
