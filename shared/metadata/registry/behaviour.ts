import { z } from 'zod'
import { FACETS_MAX, FREQUENT_DAYS } from '../model/kind.ts'
import { type FieldError, pointerOf } from '../model/problem.ts'
import { type Change, type Difference, VERDICTS } from './compare.ts'
import type { SchemaNode } from './schema-node.ts'

const OUTCOMES_MAX = 50
const ROLLUPS_MAX = 20
const DAYS_MAX = 3_650

const NAME = /^[a-z][a-z0-9_]{0,62}$/
// Stored as `<name>=<value>`: without the sign in a name there is one way to read it.
const FACET = /^[A-Za-z][A-Za-z0-9_]{0,62}$/

const different = (values: readonly string[]) => new Set(values).size === values.length
const DIFFERENT = 'expected different values'

/** What the platform does with records of a registered kind, as it is stored. */
export const kindBehaviour = z.strictObject({
  outcomes: z
    .array(z.string().regex(NAME))
    .min(1)
    .max(OUTCOMES_MAX)
    .refine(different, DIFFERENT)
    .nullable()
    .default(null),
  hotDays: z.int().min(1).max(DAYS_MAX).nullable().default(FREQUENT_DAYS),
  rollups: z.array(z.string()).max(ROLLUPS_MAX).refine(different, DIFFERENT).default([]),
  facets: z.array(z.string().regex(FACET)).max(FACETS_MAX).refine(different, DIFFERENT).default([]),
})

export type KindBehaviour = z.output<typeof kindBehaviour>

/** What rolls up is a number of the payload. */
export function rollupErrors(
  { rollups }: KindBehaviour,
  { properties }: SchemaNode,
  path: readonly PropertyKey[],
): readonly FieldError[] {
  return rollups.flatMap((name, index) => {
    const types = [...(properties.get(name)?.types ?? [])].filter((type) => type !== 'null')
    if (types.length > 0 && types.every((type) => type === 'number' || type === 'integer')) return []
    const detail = 'expected a property of the payload that is a number'
    return [{ pointer: pointerOf([...path, 'rollups', index]), code: 'rollup', detail }]
  })
}

/** Facets, rollups and days of a kind are those of all its versions together: most of them only ever grow. */
export function compareBehaviour(
  older: KindBehaviour,
  newer: KindBehaviour,
  path: readonly PropertyKey[],
): readonly Difference[] {
  const changes: [keyof KindBehaviour, Change][] = []
  const tellLists = (name: 'rollups' | 'facets' | 'outcomes', added: Change, removed: Change) => {
    const [before, after] = [older[name] ?? [], newer[name] ?? []]
    if (after.some((value) => !before.includes(value))) changes.push([name, added])
    if (before.some((value) => !after.includes(value))) changes.push([name, removed])
  }
  tellLists('rollups', 'rollup-added', 'rollup-removed')
  tellLists('facets', 'facet-added', 'facet-removed')
  if ((older.outcomes === null) === (newer.outcomes === null)) {
    tellLists('outcomes', 'outcome-added', 'outcome-removed')
  } else changes.push(['outcomes', newer.outcomes === null ? 'outcomes-removed' : 'outcomes-added'])
  const [before, after] = [older.hotDays ?? Number.POSITIVE_INFINITY, newer.hotDays ?? Number.POSITIVE_INFINITY]
  if (before !== after) changes.push(['hotDays', after > before ? 'kept-longer' : 'kept-shorter'])
  return changes.map(([name, change]) => ({
    pointer: pointerOf([...path, name]),
    change,
    verdict: VERDICTS[change],
  }))
}

/** Of all versions of a kind. */
export function joinedBehaviour(all: readonly KindBehaviour[]): KindBehaviour {
  const joined = (lists: readonly (readonly string[])[]) => [...new Set(lists.flat())]
  const outcomes = all.flatMap((one) => (one.outcomes === null ? [] : [one.outcomes]))
  return {
    outcomes: outcomes.length === 0 ? null : joined(outcomes),
    hotDays: all.some((one) => one.hotDays === null) ? null : Math.max(...all.map((one) => one.hotDays ?? 0)),
    rollups: joined(all.map((one) => one.rollups)),
    facets: joined(all.map((one) => one.facets)),
  }
}
