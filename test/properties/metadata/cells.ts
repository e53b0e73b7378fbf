import { numberOf } from './facts.ts'
import type { CellRow, RecordRow } from './tables.ts'

/** Rollups by day. */

/** Of a window that is not longer than a day, the day; without a window, that of the effective time. */
export function cellOf({ fact, effective }: RecordRow, keepLonger = false): string | null {
  const { window, series } = fact
  if (window === null) return `${series} ${Math.floor(effective)}`
  return window.end - window.start > 1 && !keepLonger ? null : `${series} ${window.start}`
}

export function isSameCell(a: CellRow | undefined, b: CellRow | undefined): boolean {
  return (a?.count ?? 0) === (b?.count ?? 0) && (a?.total ?? 0) === (b?.total ?? 0)
}

/** The cells of `records`: highest revisions only. */
export function cellsOf(
  records: readonly RecordRow[],
  { superseded = false, longer = false }: { readonly superseded?: boolean; readonly longer?: boolean } = {},
): ReadonlyMap<string, CellRow> {
  const highest = new Map<string, RecordRow>()
  for (const record of records) {
    const key = superseded ? record.recordId : record.key
    const known = highest.get(key)
    if (known === undefined || known.fact.revision < record.fact.revision) highest.set(key, record)
  }
  const cells = new Map<string, CellRow>()
  for (const record of highest.values()) {
    const cell = cellOf(record, longer)
    if (cell === null) continue
    const { count, total } = cells.get(cell) ?? { count: 0, total: 0 }
    cells.set(cell, { count: count + 1, total: total + numberOf(record.fact) })
  }
  return cells
}
