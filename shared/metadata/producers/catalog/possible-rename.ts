import type { SchemaColumn } from '../../model/kinds/schema-snapshot.ts'
import { compareTypes } from './column-type.ts'

export type PossibleRename = { readonly from: string; readonly to: string; readonly score: number }

export type PlacedColumn = { readonly column: SchemaColumn; readonly place: number }

/** Below it a removed and an added column have nothing in common but their type. */
const SCORE_MIN = 0.5
/** Each pair is looked at: more of them is another table. */
const PAIRS_MAX = 10_000

/**
 * Pairs of a removed and an added column that may be one, best first and each column once, for a person to look at. A
 * guess decides nothing: two columns of one type and without comments say nothing about each other.
 */
export function possibleRenames(
  removed: readonly PlacedColumn[],
  added: readonly PlacedColumn[],
): readonly PossibleRename[] {
  if (removed.length * added.length > PAIRS_MAX) return []
  const pairs = removed.flatMap((from) => added.map((to) => pairOf(from, to))).filter(({ score }) => score >= SCORE_MIN)
  pairs.sort((a, b) => b.score - a.score)
  const taken = { from: new Set<string>(), to: new Set<string>() }
  return pairs.filter(({ from, to }) => {
    if (taken.from.has(from) || taken.to.has(to)) return false
    taken.from.add(from)
    taken.to.add(to)
    return true
  })
}

/** 0 to 1, two digits: six tenths for the name, three for the place, one for an equal comment. */
function pairOf(from: PlacedColumn, to: PlacedColumn): PossibleRename {
  const { name, type, comment } = from.column
  const names = { from: name, to: to.column.name }
  if (compareTypes(type, to.column.type).kind !== 'same') return { ...names, score: 0 }
  const sameComment = comment !== undefined && comment.trim() !== '' && comment === to.column.comment
  const score =
    0.6 * likeness(name.toLowerCase(), to.column.name.toLowerCase()) +
    (from.place === to.place ? 0.3 : 0) +
    (sameComment ? 0.1 : 0)
  return { ...names, score: Math.round(score * 100) / 100 }
}

/** Dice's coefficient of letter pairs. https://doi.org/10.2307/1932409 */
function likeness(a: string, b: string): number {
  if (a === b) return 1
  const left = pairsOf(a)
  const right = pairsOf(b)
  const total = left.length + right.length
  if (total === 0) return 0
  const rest = new Map<string, number>()
  for (const pair of left) rest.set(pair, (rest.get(pair) ?? 0) + 1)
  let common = 0
  for (const pair of right) {
    const count = rest.get(pair) ?? 0
    if (count === 0) continue
    rest.set(pair, count - 1)
    common++
  }
  return (2 * common) / total
}

function pairsOf(text: string): readonly string[] {
  return Array.from({ length: Math.max(text.length - 1, 0) }, (_, at) => text.slice(at, at + 2))
}
