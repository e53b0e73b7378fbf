import type { Queryable, Statement } from '../../postgres/database.ts'
import { ingestionVolume } from '../model/kinds/ingestion-volume.ts'
import { type HistoryTable, LISTED_MAX, type Listed } from './import-summary.ts'

// The latest of a series is never deleted: where there is none, there never was a record.
const WITHOUT_HISTORY: Statement = {
  name: 'tables_without_history',
  text: `
select t.source_id as "sourceId", t.schema_name as "schema", t.table_name as "table", count(*) over () as "all"
  from metadata.target t
  join metadata.tenant n on n.tenant_no = t.tenant_no
 where n.tenant = $1::text
   and not exists (select from metadata.latest l where l.target_no = t.target_no and l.kind = '${ingestionVolume.kind}')
 order by t.source_id collate "C", t.schema_name collate "C", t.table_name collate "C"
 limit ${LISTED_MAX}`,
}

/** Targets that something was told about, and never how much they got: nothing can be compared with their past. */
export async function tablesWithoutHistory(db: Queryable, tenant: string): Promise<Listed<HistoryTable>> {
  const rows = await db.query<HistoryTable & { all: number }>(WITHOUT_HISTORY, [tenant])
  return { count: rows[0]?.all ?? 0, first: rows.map(({ all: _, ...table }) => table) }
}
