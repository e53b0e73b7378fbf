import type { Log } from '../../log/log.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { type Checked, checkRecordText } from '../model/check.ts'
import type { CheckedRecord } from '../model/identity.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { MetadataKinds } from '../model/kinds.ts'
import type { RecordProblem } from '../model/problem.ts'
import type { MetadataEnvironment } from '../model/record.ts'
import type { StoreResult } from '../model/repository.ts'
import { deleteFromOutbox, type OutboxRow, postponeInOutbox } from './outbox-claim.ts'
import { keepRejects, type MetadataReject } from './rejects.ts'

/** What a dispatcher needs besides the place where it stores. */
export type DispatchSource = {
  /** The producers' database: its outbox. */
  readonly db: Database
  readonly kinds: KindBook
  /** Of this deployment: whose the rows without a tenant are, and what is added to each context. */
  readonly environment: MetadataEnvironment
  readonly log: Log
}

export type DispatchLimits = {
  /** Rows of one transaction. */
  readonly batchMax?: number
  /** Batches of one call: what is left is the next one's. */
  readonly batchesMax?: number
  readonly stop?: AbortSignal
}

export type Dispatched = {
  readonly stored: number
  readonly replayed: number
  readonly rejected: number
  /** Wait for the revision before them, or for the store. */
  readonly postponed: number
}

/** Moves one batch; null: nothing is due. */
export type DispatchBatch = (batchMax: number) => Promise<Dispatched | null>

const BATCH_MAX = 500
const BATCHES_MAX = 1_000

/** Batch after batch until nothing is due. Safe at any number of places at once, and to be killed at any moment. */
export async function dispatchAll(
  dispatchBatch: DispatchBatch,
  { batchMax = BATCH_MAX, batchesMax = BATCHES_MAX, stop }: DispatchLimits = {},
): Promise<Dispatched> {
  let sum = NOTHING_DISPATCHED
  for (let batch = 0; batch < batchesMax && !stop?.aborted; batch++) {
    const done = await dispatchBatch(batchMax)
    if (done === null) break
    sum = addDispatched(sum, done)
  }
  return sum
}

export const NOTHING_DISPATCHED: Dispatched = { stored: 0, replayed: 0, rejected: 0, postponed: 0 }

export function addDispatched(a: Dispatched, b: Dispatched): Dispatched {
  return {
    stored: a.stored + b.stored,
    replayed: a.replayed + b.replayed,
    rejected: a.rejected + b.rejected,
    postponed: a.postponed + b.postponed,
  }
}

export type CheckedRow = { readonly row: OutboxRow; readonly checked: CheckedRecord }
type RefusedRow = { readonly row: OutboxRow; readonly problem: RecordProblem; readonly recordId?: string | undefined }

/** Whose it is, and what it is. Judged by the database's clock, which is also the one of the store. */
export function checkRow({ environment }: DispatchSource, row: OutboxRow, kinds: MetadataKinds): Checked {
  const tenant = row.tenant ?? environment.tenant
  return checkRecordText(row.record, { kinds, environment: { ...environment, tenant }, now: row.now })
}

/** `results` are those of the rows, in their order. */
export function sortRows(
  rows: readonly OutboxRow[],
  results: readonly Checked[],
): { readonly good: readonly CheckedRow[]; readonly refused: readonly RefusedRow[] } {
  const good: CheckedRow[] = []
  const refused: RefusedRow[] = []
  for (const [index, row] of rows.entries()) {
    const result = results[index]
    if (result === undefined) throw new Error(`outbox: expected ${rows.length} checked rows, got ${results.length}`)
    if (result.ok) good.push({ row, checked: result.checked })
    else refused.push({ row, problem: result.problem })
  }
  return { good, refused }
}

/** What becomes of rows whose records were stored or not, in the transaction of the caller. */
export async function concludeRows(
  tx: Queryable,
  { environment, log }: DispatchSource,
  told: readonly { readonly row: OutboxRow; readonly result: StoreResult }[],
): Promise<Dispatched> {
  const refused = told.flatMap(({ row, result }) => (result.outcome === 'refused' ? [{ row, ...result }] : []))
  const waiting = refused.filter(({ row, problem }) => problem.retriable && !row.old)
  const rejected = refused.filter(({ row, problem }) => !problem.retriable || row.old)
  const rejects = rejected.map(
    ({ row, problem, recordId }): MetadataReject => ({
      tenant: row.tenant ?? environment.tenant,
      text: row.record,
      problem,
      recordId,
    }),
  )
  await keepRejects(tx, rejects)
  await postponeInOutbox(tx, waiting.map(idOf))
  const waits = new Set(waiting.map(idOf))
  await deleteFromOutbox(
    tx,
    told.map(idOf).filter((outboxId) => !waits.has(outboxId)),
  )
  for (const { row, problem } of rejected) log.warn('metadata_record_refused', { outbox_id: row.outboxId, ...problem })
  const count = (outcome: StoreResult['outcome']) => told.filter(({ result }) => result.outcome === outcome).length
  return {
    stored: count('stored'),
    replayed: count('replayed'),
    rejected: rejected.length,
    postponed: waiting.length,
  }
}

function idOf({ row }: { readonly row: OutboxRow }): number {
  return row.outboxId
}
