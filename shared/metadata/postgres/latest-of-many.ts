import type { Queryable, Statement } from '../../postgres/database.ts'
import type { MetadataRecord } from '../model/record.ts'
import { normalSeries } from '../model/record-filter.ts'
import type { Series } from '../model/repository.ts'
import { BODIES, COLUMNS, TENANT_NO } from './read-statements.ts'
import { type StoredRow, toRecord } from './stored-row.ts'

export type FoundLatest = {
  readonly record: MetadataRecord
  readonly changeNo: number
  /** Of the kind: what was stored before this day (UTC) is compacted. */
  readonly hotSince: string | null
}

// One statement for all series: the planner asks for hundreds before it schedules.
const LATEST_OF_MANY: Statement = {
  name: 'latest_metadata_records',
  text: `
select w.n, l.change_no as "changeNo", c.below::text as "hotSince", ${COLUMNS}
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) with ordinality
         as w (source_id, schema_name, table_name, kind, scope, n)
  join metadata.target g
    on g.tenant_no = ${TENANT_NO} and g.source_id = w.source_id and g.schema_name = w.schema_name
   and g.table_name = w.table_name
  join metadata.latest l on l.target_no = g.target_no and l.kind = w.kind and l.scope = w.scope
  join metadata.record r on r.record_id = l.record_id ${BODIES}
  left join metadata.compaction c on c.kind = w.kind`,
}

type Row = StoredRow & { readonly n: number; readonly changeNo: number; readonly hotSince: string | null }

/** In the order of the series; null where there is none. Throws QueryError for what cannot be a series. */
export async function readLatestOfMany(
  db: Queryable,
  tenant: string,
  series: readonly Series[],
): Promise<readonly (FoundLatest | null)[]> {
  if (series.length === 0) return []
  const asked = series.map(normalSeries)
  const rows = await db.query<Row>(LATEST_OF_MANY, [
    tenant,
    asked.map(({ target }) => target.sourceId),
    asked.map(({ target }) => target.schema),
    asked.map(({ target }) => target.table),
    asked.map(({ kind }) => kind),
    asked.map(({ scope }) => scope),
  ])
  const found = new Map(rows.map((row) => [row.n, row]))
  return asked.map((_, index) => {
    const row = found.get(index + 1)
    return row === undefined ? null : { record: toRecord(row), changeNo: row.changeNo, hotSince: row.hotSince }
  })
}
