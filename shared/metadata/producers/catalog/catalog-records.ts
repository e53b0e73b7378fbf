import { floorTo, formatInstant, type Instant, MICROS_PER_DAY } from '../../../instant.ts'
import { canonicalJson } from '../../../json.ts'
import { sha256Hex } from '../../../sha256.ts'
import { buildRecord, cleanJson, type RecordParts } from '../../model/build-record.ts'
import { type CatalogDiff, catalogDiff } from '../../model/kinds/catalog-diff.ts'
import { type SchemaSnapshot, schemaFingerprint, schemaSnapshot } from '../../model/kinds/schema-snapshot.ts'
import { type StatisticsSnapshot, statisticsSnapshot } from '../../model/kinds/statistics-snapshot.ts'
import type { NewMetadataRecord } from '../../model/record.ts'
import type { MetadataRequest } from '../producer.ts'
import type { CatalogFinding } from './finding.ts'
import type { Last } from './known.ts'
import { type SchemaDifference, SEVERITIES } from './schema-difference.ts'

export const CATALOG_PRODUCER = 'catalog.v1'

/** A series of its own: what is suspect displaces no snapshot that others compare with. */
export const SUSPECT_SCOPE = 'suspect'

/** As a catalog_diff takes them; the gravest come first. */
const CHANGES_MAX = 1_000

/** Where a record belongs: what it is about, and the one that is the latest of its series until it is stored. */
export type CatalogPlace = { readonly request: MetadataRequest; readonly last: Last | null; readonly now: Instant }

export function snapshotRecord(place: CatalogPlace, finding: CatalogFinding, suspect: boolean): NewMetadataRecord {
  const { ids, extras, columns } = finding
  return recordOf<SchemaSnapshot>(place, {
    kind: schemaSnapshot,
    payload: {
      place: finding.place,
      fingerprint: schemaFingerprint(columns),
      columns: [...columns],
      ...(suspect && { suspect: true }),
    },
    ...(suspect && { scope: SUSPECT_SCOPE }),
    ...((extras || ids) && { extras: { ...extras, ...(ids && { columnIds: ids }) } }),
  })
}

export function statisticsRecord(
  place: CatalogPlace,
  { payload, quality }: NonNullable<CatalogFinding['statistics']>,
): NewMetadataRecord {
  return recordOf<StatisticsSnapshot>(place, { kind: statisticsSnapshot, payload, quality })
}

export function diffRecord(
  place: CatalogPlace,
  { from, to }: { readonly from: string; readonly to: string },
  { changes, possibleRenames }: SchemaDifference,
): NewMetadataRecord {
  const severity = SEVERITIES.find((one) => changes.some((change) => change.severity === one)) ?? 'info'
  const leftOut = changes.length - CHANGES_MAX
  return recordOf<CatalogDiff>(place, {
    kind: catalogDiff,
    payload: {
      from,
      to,
      fingerprint: sha256Hex(canonicalJson([from, to, cleanJson(changes)])),
      severity,
      changes: changes.slice(0, CHANGES_MAX),
    },
    extras: {
      severity,
      ...(possibleRenames.length > 0 && { possibleRenames }),
      ...(leftOut > 0 && { changesLeftOut: leftOut }),
    },
  })
}

type Said<Payload> = Pick<RecordParts<Payload>, 'kind' | 'payload' | 'scope' | 'quality' | 'extras'>

/**
 * Named by what it says and by what was the latest before it: a repeat is a replay, two collectors at once tell one
 * thing, and a schema that goes back and forth within a day tells of every turn. With the day or two fingerprints as its
 * name the second turn would be a replay of the first, and the turn back would stay the latest.
 */
function recordOf<Payload>({ request, last, now }: CatalogPlace, said: Said<Payload>): NewMetadataRecord {
  const day = formatInstant(floorTo(now, MICROS_PER_DAY)).slice(0, 10)
  const { target, context } = request
  const record = buildRecord<Payload>({
    ...said,
    target,
    context: { ...context, runId: context.runId ?? `catalog/${day}` },
    producerId: CATALOG_PRODUCER,
    producedAt: now,
  })
  const { sourceId, schema, table } = record.target
  const { scope = '', payload, extras = null, quality = null } = record
  const name = [sourceId, schema, table, scope, last?.record.recordId ?? null, payload, extras, quality]
  return { ...record, key: sha256Hex(canonicalJson(name)) }
}
