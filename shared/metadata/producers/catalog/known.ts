import { z } from 'zod'
import { floorTo, type Instant, MICROS_PER_DAY, parseInstant } from '../../../instant.ts'
import { catalogDiff } from '../../model/kinds/catalog-diff.ts'
import { schemaFingerprint, schemaSnapshot } from '../../model/kinds/schema-snapshot.ts'
import { statisticsSnapshot } from '../../model/kinds/statistics-snapshot.ts'
import type { MetadataRecord } from '../../model/record.ts'
import type { MetadataRepository, Series } from '../../model/repository.ts'
import type { SchemaForm } from './schema-difference.ts'

/** The latest record of a series. */
export type Last = { readonly record: MetadataRecord; readonly at: Instant }

export type LastSchema = Last & { readonly place: string; readonly fingerprint: string; readonly form: SchemaForm }
export type LastDiff = Last & { readonly from: string; readonly to: string }

/** What the repository knows of a target. */
export type Known = {
  readonly schema: LastSchema | null
  readonly diff: LastDiff | null
  readonly statistics: Last | null
}

/** `to` of a difference whose table is gone. */
export const NO_COLUMNS = schemaFingerprint([])

// Open, as every reader is: what a later version adds is not looked at.
const snapshot = z.looseObject({
  place: z.string(),
  fingerprint: z.string(),
  columns: z.array(
    z.looseObject({
      name: z.string(),
      type: z.string(),
      nullable: z.boolean().optional(),
      key: z.boolean().optional(),
      default: z.string().optional(),
      comment: z.string().optional(),
    }),
  ),
})
const snapshotExtras = z.looseObject({ columnIds: z.array(z.string()).optional() })
const difference = z.looseObject({ from: z.string(), to: z.string() })

type Latest = Pick<MetadataRepository, 'latest'>

export async function readLast(repository: Latest, series: Series): Promise<Last | null> {
  const found = await repository.latest(series)
  if (found === null) return null
  const at = parseInstant(found.record.effectiveAt)
  if (at !== undefined) return { record: found.record, at }
  throw new Error(`${series.kind}: expected an instant as effective time, got ${found.record.effectiveAt}`)
}

export async function readLastSchema(
  repository: Latest,
  target: Series['target'],
  scope: string,
): Promise<LastSchema | null> {
  const last = await readLast(repository, { target, kind: schemaSnapshot.kind, scope })
  if (last === null) return null
  const { place, fingerprint, columns } = snapshot.parse(last.record.payload)
  const { columnIds } = snapshotExtras.parse(last.record.extras ?? {})
  const ids = columnIds?.length === columns.length ? columnIds : undefined
  return { ...last, place, fingerprint, form: { columns, ids } }
}

/**
 * The schema last: where another collector stores between two reads, it shows, and nothing is told. Read first, the
 * schema was as before and the rest was what the other had just told, so that it was told again after it.
 */
export async function readKnown(repository: Latest, target: Series['target']): Promise<Known> {
  const statistics = await readLast(repository, { target, kind: statisticsSnapshot.kind })
  const diff = await readLast(repository, { target, kind: catalogDiff.kind })
  const schema = await readLastSchema(repository, target, '')
  return { schema, diff: diff && { ...diff, ...difference.parse(diff.record.payload) }, statistics }
}

/** Told as dropped, and not seen since. */
export function wasDropped({ schema, diff }: Known): boolean {
  return diff !== null && diff.to === NO_COLUMNS && (schema === null || diff.at >= schema.at)
}

/** Not told on this day (UTC): a collector that comes a little earlier than yesterday tells all the same. */
export function isDue(last: Last | null, now: Instant): boolean {
  return last === null || floorTo(last.at, MICROS_PER_DAY) < floorTo(now, MICROS_PER_DAY)
}
