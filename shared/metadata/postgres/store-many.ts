import { canonicalJson } from '../../json.ts'
import type { Database } from '../../postgres/database.ts'
import type { CheckedRecord } from '../model/identity.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { StoreResult } from '../model/repository.ts'
import { type Folded, resultsOf, waves } from '../model/waves.ts'
import { keepRejects, type MetadataReject } from '../outbox/rejects.ts'
import type { NameBook } from './names.ts'
import { halving } from './refusal.ts'
import { storeBatch } from './store-batch.ts'

export type PostgresStore = { readonly db: Database; readonly names: NameBook; readonly kinds: KindBook }

/** 15,500 records/s of 1 KB were measured with 500 in a batch, 10,500 with 16. */
export const BATCH_MAX = 500

/** Stores any number of records, a batch per transaction; results in their order. Conflicts are kept as rejects. */
export async function storeMany(
  store: PostgresStore,
  records: readonly CheckedRecord[],
): Promise<readonly StoreResult[]> {
  const results: StoreResult[] = []
  for (let start = 0; start < records.length; start += BATCH_MAX) {
    const batch = records.slice(start, start + BATCH_MAX)
    const told: StoreResult[] = []
    for (const wave of waves(batch)) {
      await halving(
        wave,
        (half) => storeWave(store, half, told),
        async (folded, problem) => tell(told, folded, { outcome: 'refused', problem }),
      )
    }
    results.push(...told)
  }
  return results
}

async function storeWave(store: PostgresStore, wave: readonly Folded[], told: StoreResult[]): Promise<void> {
  const { results, committed } = await store.db.transaction(async (tx) => {
    const stored = await storeBatch(
      tx,
      store,
      wave.map(({ checked }) => checked),
    )
    await keepRejects(
      tx,
      wave.flatMap(({ checked }, index) => conflictOf(stored.results[index], checked)),
    )
    return stored
  })
  committed()
  for (const [index, folded] of wave.entries()) tell(told, folded, results[index])
}

function conflictOf(result: StoreResult | undefined, { tenant, json }: CheckedRecord): readonly MetadataReject[] {
  if (result?.outcome !== 'refused' || result.problem.code !== 'idempotency-conflict') return []
  return [{ tenant, text: canonicalJson(json), problem: result.problem, recordId: result.recordId }]
}

function tell(told: StoreResult[], folded: Folded, result: StoreResult | undefined): void {
  if (result === undefined) throw new Error('stored batch: expected a result per record, got fewer')
  for (const [place, shared] of resultsOf(folded, result)) told[place] = shared
}
