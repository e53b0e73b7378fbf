import type { CheckedRecord } from './identity.ts'
import type { StoreResult } from './repository.ts'

/** One record to be stored, and where its equals stand: they share its fate. */
export type Folded = { readonly checked: CheckedRecord; readonly places: readonly number[] }

/**
 * Splits records into waves that hold each key once, lower revisions first, equal ones folded. A wave is one storing
 * statement: a revision sees the one before only when that was committed, and a statement may not meet a row twice.
 * `places` are indexes of `records`.
 */
export function waves(records: readonly CheckedRecord[]): readonly (readonly Folded[])[] {
  const byKey = new Map<string, { readonly checked: CheckedRecord; readonly places: number[] }[]>()
  for (const [place, checked] of records.entries()) {
    const name = `${checked.tenant} ${checked.key}`
    const known = byKey.get(name) ?? []
    if (known.length === 0) byKey.set(name, known)
    const same = known.find(
      (other) => other.checked.record.revision === checked.record.revision && other.checked.content === checked.content,
    )
    if (same === undefined) known.push({ checked, places: [place] })
    else same.places.push(place)
  }
  const split: Folded[][] = []
  for (const folded of byKey.values()) {
    // Stable: of two contents of one revision the first that came is stored.
    folded.sort((a, b) => a.checked.record.revision - b.checked.record.revision)
    for (const [wave, one] of folded.entries()) {
      const into = split[wave]
      if (into === undefined) split.push([one])
      else into.push(one)
    }
  }
  return split
}

/** The result of each place: a repeat of what was stored a moment ago is a replay like any other. */
export function resultsOf({ places }: Folded, result: StoreResult): readonly (readonly [number, StoreResult])[] {
  const repeat: StoreResult = result.outcome === 'stored' ? { ...result, outcome: 'replayed' } : result
  return places.map((place, index) => [place, index === 0 ? result : repeat])
}
