import type { Part } from './parts.ts'

/**
 * The data plane in small integers. Time is a row of granules, each with at most one record of the provider, so a key
 * is a granule; two granules share a partition.
 */
export const GRANULES = 4
export const PARTITIONS = [0, 1] as const

export type Record = { readonly granule: number; readonly value: number }

/** One provider answer as stored; its hash is a function of what it says, as in the lake. */
export type Body = { readonly records: readonly Record[]; readonly isLast: boolean; readonly sha: string }

export type Page = { readonly pageNo: number; readonly observedAt: number; readonly body: Body }

export type Row = {
  readonly key: number
  readonly value: number
  readonly observedAt: number
  readonly sha: string
  readonly ordinal: number
  /** Not a column: who brought it, for the oracle only. */
  readonly by: number
}

export type Counts = {
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly superseded: number
}

export type Parsed = { readonly rows: readonly Row[]; readonly rejected: number; readonly outside: number }

export function bodyOf(records: readonly Record[], isLast: boolean): Body {
  return { records, isLast, sha: records.map(({ granule, value }) => `${granule}=${value}`).join() }
}

export function partitionOf(granule: number): number {
  return granule >> 1
}

/** Versions differ in what a value becomes; the newer one takes what the older rejects. */
function transform(value: number, { transformVersion, without }: Reading): number | null {
  const rejects = without === 'newer transforms reject no more' ? 5 - transformVersion : transformVersion === 1 ? 4 : 5
  return value % 5 === rejects ? null : value * 10 + transformVersion
}

export type Reading = {
  readonly by: number
  readonly window: { readonly lo: number; readonly hi: number } | null
  readonly transformVersion: number
  readonly without: Part | null
}

export function parse(pages: readonly Page[], reading: Reading): Parsed {
  const { by, window } = reading
  const rows: Row[] = []
  let rejected = 0
  let outside = 0
  for (const { observedAt, body } of pages) {
    for (const [ordinal, { granule, value: said }] of body.records.entries()) {
      const value = transform(said, reading)
      if (window !== null && (granule < window.lo || granule >= window.hi)) outside++
      else if (value === null) rejected++
      else rows.push({ key: granule, value, observedAt, sha: body.sha, ordinal, by })
    }
  }
  return { rows, rejected, outside }
}

export function compareIdentity(a: Row, b: Row): number {
  return a.observedAt - b.observedAt || (a.sha === b.sha ? a.ordinal - b.ordinal : a.sha < b.sha ? -1 : 1)
}

export type Merged = { readonly rows: readonly Row[]; readonly counts: Counts; readonly ownRowsInFile: boolean }

/** The winner of each key, in key order: what a rebuild writes. */
export function winners(rows: readonly Row[]): readonly Row[] {
  const best: (Row | undefined)[] = Array(GRANULES)
  for (const row of rows) {
    const other = best[row.key]
    if (other === undefined || compareIdentity(row, other) >= 0) best[row.key] = row
  }
  return best.filter((row) => row !== undefined)
}

export function mergeRows(file: readonly Row[], incoming: readonly Row[], without: Part | null): Merged {
  const best = winners(incoming)
  const rows = best.filter(({ key }) => !file.some((old) => old.key === key))
  const counts = { inserted: rows.length, updated: 0, unchanged: 0, superseded: incoming.length - best.length }
  for (const old of file) {
    const mine = best.find(({ key }) => key === old.key)
    const wins = mine !== undefined && (without === 'greatest identity wins' || compareIdentity(mine, old) >= 0)
    if (mine !== undefined) counts[wins ? (mine.value === old.value ? 'unchanged' : 'updated') : 'superseded']++
    rows.push(wins ? mine : old)
  }
  rows.sort((a, b) => a.key - b.key)
  const ownRowsInFile = file.some((old) =>
    incoming.some((row) => row.key === old.key && compareIdentity(row, old) === 0),
  )
  return { rows, counts, ownRowsInFile }
}

export function encode(rows: readonly Row[], transformVersion: number): string {
  let bytes = `t${transformVersion}`
  for (const { key, value, observedAt, sha, ordinal } of rows)
    bytes += `|${key}:${value}@${observedAt}/${sha}/${ordinal}`
  return bytes
}
