import type { Statement } from '../../postgres/database.ts'

// The body goes through as text: the driver would parse it, and we would write it again.
export const COLUMNS = `
  r.record_id as "recordId", t.source_id as "sourceId", t.schema_name as "schemaName", t.table_name as "tableName",
  r.kind, r.kind_version as "kindVersion", r.scope, r.effective_at as "effectiveAt", r.ordered_at as "orderedAt",
  r.revision, r.producer_id as "producerId", r.job_id as "jobId", r.run_id as "runId", r.window_start as "windowStart",
  r.window_end as "windowEnd", r.outcome, r.quality, r.produced_at as "producedAt", r.stored_at as "storedAt",
  r.body::text as body, s.body::text as columns`

export const BODIES = `
  join metadata.target t on t.target_no = r.target_no
  left join metadata.schema_body s
    on r.kind = 'schema_snapshot' and s.tenant_no = r.tenant_no and s.fingerprint = r.body #>> '{payload,fingerprint}'`

export const TENANT_NO = `(select n.tenant_no from metadata.tenant n where n.tenant = $1::text)`

export const targetNo = (first: number) => `
       (select n.target_no from metadata.target n
         where n.tenant_no = ${TENANT_NO} and n.source_id = $${first}::text and n.schema_name = $${first + 1}::text
           and n.table_name = $${first + 2}::text)`

export const LATEST: Statement = {
  name: 'latest_metadata_record',
  text: `
select l.change_no as "changeNo", ${COLUMNS}
  from metadata.latest l
  join metadata.record r on r.record_id = l.record_id ${BODIES}
 where l.target_no = ${targetNo(2)} and l.kind = $5::text and l.scope = $6::text`,
}

// A row comparison, which is one range of the index at any depth; the first page begins at infinity.
export const HISTORY: Statement = {
  name: 'history_of_metadata_records',
  text: `
select ${COLUMNS}
  from metadata.record r ${BODIES}
 where r.target_no = ${targetNo(2)} and r.kind = $5::text and r.scope = $6::text
   and (r.effective_at, r.ordered_at, r.record_id) < ($7::timestamptz, $8::timestamptz, $9::uuid)
 order by r.effective_at desc, r.ordered_at desc, r.record_id desc
 limit $10::int`,
}

/** A filter has many shapes: each gets the plan that fits it, under a name of its own. */
export function queryStatement(conditions: string, limitAt: number): string {
  return `
select ${COLUMNS}
  from metadata.record r ${BODIES}
 where r.tenant_no = ${TENANT_NO}${conditions}
 order by r.effective_at desc, r.record_id desc
 limit $${limitAt}::int`
}
