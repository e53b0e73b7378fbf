import type { Instant } from '../../instant.ts'
import { checkAll, checkRecord } from './check.ts'
import type { CheckedRecord } from './identity.ts'
import type { KindBook } from './kind-book.ts'
import type { MetadataEnvironment } from './record.ts'
import type { StoreResult } from './repository.ts'

export type StoreCheckOptions = {
  readonly kinds: KindBook
  readonly environment: MetadataEnvironment
  readonly now: Instant
}

/** Hands the good records to `store`, and puts its results among the refusals: in the order of the records. */
export async function storeChecked(
  records: readonly unknown[],
  { kinds, environment, now }: StoreCheckOptions,
  store: (good: readonly CheckedRecord[]) => Promise<readonly StoreResult[]>,
): Promise<readonly StoreResult[]> {
  await kinds.refresh()
  const results = await checkAll(kinds, records, (record, known) =>
    checkRecord(record, { kinds: known, environment, now }),
  )
  const good: CheckedRecord[] = []
  const places = results.map((result) => {
    if (!result.ok) return { outcome: 'refused' as const, problem: result.problem }
    return good.push(result.checked) - 1
  })
  const stored = await store(good)
  return places.map((place) => {
    if (typeof place !== 'number') return place
    const result = stored[place]
    if (result === undefined) throw new Error(`store: expected ${good.length} results, got ${stored.length}`)
    return result
  })
}
