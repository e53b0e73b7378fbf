import type { Instant } from '../../../instant.ts'
import { schemaFingerprint } from '../../model/kinds/schema-snapshot.ts'
import type { NewMetadataRecord } from '../../model/record.ts'
import type { MetadataRepository } from '../../model/repository.ts'
import type { MetadataProducer, MetadataRequest } from '../producer.ts'
import { CATALOG_PRODUCER, diffRecord, SUSPECT_SCOPE, snapshotRecord, statisticsRecord } from './catalog-records.ts'
import { type CatalogFinding, type CatalogTarget, storableColumn } from './finding.ts'
import { isDue, type Known, type LastSchema, NO_COLUMNS, readKnown, readLastSchema, wasDropped } from './known.ts'
import { compareSchemas, isSuspect, returnedSchema, type SchemaDifference } from './schema-difference.ts'

export type CatalogProducerOptions = {
  readonly find: CatalogTarget['find']
  readonly repository: Pick<MetadataRepository, 'latest'>
  readonly now: Instant
  /** A person looked: half of the columns are really gone. */
  readonly acceptSuspect?: boolean | undefined
}

type Asked = CatalogProducerOptions & { readonly request: MetadataRequest }

/**
 * What is to be told of a target at `now`: its schema where it changed or was not told on this day, how much it holds as
 * often, and what changed since the snapshot before. Where something newer is known, nothing.
 */
export function catalogProducer(options: CatalogProducerOptions): MetadataProducer {
  const { find, repository, now } = options
  return {
    producerId: CATALOG_PRODUCER,
    async produce(request) {
      const asked = { ...options, request }
      const found = await find()
      const known = await readKnown(repository, request.target)
      if ([known.schema, known.diff].some((last) => last !== null && last.at > now)) return []
      if (found === null) return tellDropped(asked, known)
      const finding = { ...found, columns: found.columns.map(storableColumn) }
      const schema = await tellSchema(asked, finding, known)
      return [...schema, ...tellStatistics(asked, finding, known, schema.length > 0)]
    },
  }
}

async function tellSchema(asked: Asked, finding: CatalogFinding, known: Known): Promise<readonly NewMetadataRecord[]> {
  const { request, now, acceptSuspect } = asked
  const to = schemaFingerprint(finding.columns)
  const { schema: last } = known
  if (last?.fingerprint === to && !wasDropped(known) && !isDue(last, now)) return []
  if (last !== null && !acceptSuspect && isComparable(last, finding) && isSuspect(last.form, finding)) {
    return tellSuspect(asked, finding, to)
  }
  return [...tellDifference(asked, finding, known, to), snapshotRecord({ request, now, last }, finding, false)]
}

/** What other collectors find of a target in another form is no change of it. */
function isComparable(last: LastSchema, { place }: CatalogFinding): boolean {
  return last.place === place
}

async function tellSuspect({ repository, request, now }: Asked, finding: CatalogFinding, fingerprint: string) {
  const last = await readLastSchema(repository, request.target, SUSPECT_SCOPE)
  if (last !== null && (last.at > now || (last.fingerprint === fingerprint && !isDue(last, now)))) return []
  return [snapshotRecord({ request, now, last }, finding, true)]
}

function tellDifference(asked: Asked, finding: CatalogFinding, known: Known, to: string): readonly NewMetadataRecord[] {
  const { schema: last } = known
  if (last === null || !isComparable(last, finding)) return []
  const difference = compareSchemas(last.form, finding, finding.readers)
  if (difference.changes.length > 0) return tellOnce(asked, known, { from: last.fingerprint, to }, difference)
  if (!wasDropped(known)) return []
  return tellOnce(asked, known, { from: NO_COLUMNS, to }, { changes: returnedSchema(finding), possibleRenames: [] })
}

function tellDropped(asked: Asked, known: Known): readonly NewMetadataRecord[] {
  if (known.schema === null) {
    const { sourceId, schema, table } = asked.request.target
    throw new Error(`target ${sourceId}/${schema}/${table}: expected a table or an earlier snapshot of it, got neither`)
  }
  if (wasDropped(known)) return []
  const { form, fingerprint } = known.schema
  return tellOnce(asked, known, { from: fingerprint, to: NO_COLUMNS }, compareSchemas(form, null))
}

/** Where the snapshot was refused, its difference is known already. */
function tellOnce(
  { request, now }: Asked,
  { schema, diff }: Known,
  ends: { readonly from: string; readonly to: string },
  difference: SchemaDifference,
): readonly NewMetadataRecord[] {
  const told = diff !== null && schema !== null && diff.at >= schema.at
  if (told && diff.from === ends.from && diff.to === ends.to) return []
  return [diffRecord({ request, now, last: diff }, ends, difference)]
}

function tellStatistics(
  { request, now }: Asked,
  { statistics }: CatalogFinding,
  { statistics: last }: Known,
  changed: boolean,
): readonly NewMetadataRecord[] {
  if (statistics === null || (last !== null && last.at > now) || (!changed && !isDue(last, now))) return []
  return [statisticsRecord({ request, now, last }, statistics)]
}
