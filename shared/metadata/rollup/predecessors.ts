import type { Instant } from '../../instant.ts'
import type { Statement } from '../../postgres/database.ts'
import type { FedRecord } from '../feed/feed.ts'
import { recordKey } from '../model/identity.ts'
import { TENANT_NO } from '../postgres/read-statements.ts'
import { columnIndex } from '../retention/compacted-columns.ts'
import { type CompactedFile, readCompactedFile } from '../retention/compacted-reader.ts'
import type { RecordPlaces } from '../retention/history-reader.ts'
import type { PlacedRecord } from './touched.ts'

// Where a correction took the fact from: in the table, or in the file whose ids are around its own.
const FIND: Statement = {
  name: 'find_corrected_metadata_records',
  text: `
select k.record_id as "recordId", t.source_id as "sourceId", t.schema_name as "schemaName", t.table_name as "tableName",
       r.kind, r.scope, r.window_start as "windowStart", r.window_end as "windowEnd", r.effective_at as "effectiveAt",
       f.path, f.bytes, encode(f.sha256, 'hex') as sha256
  from unnest($2::uuid[], $3::int[], $4::text[]) as q (key, revision, kind)
  join metadata.record_key k on k.tenant_no = ${TENANT_NO} and k.key = q.key and k.revision = q.revision
  left join metadata.record r on r.record_id = k.record_id
  left join metadata.target t on t.target_no = r.target_no
  left join metadata.compacted_file f
    on r.record_id is null and f.kind = q.kind and f.tenant_no = k.tenant_no
   and k.record_id between f.first_record_id and f.last_record_id`,
}

type FoundRow = { readonly recordId: string } & (
  | {
      readonly sourceId: string
      readonly schemaName: string
      readonly tableName: string
      readonly kind: string
      readonly scope: string
      readonly windowStart: Instant | null
      readonly windowEnd: Instant | null
      readonly effectiveAt: Instant
    }
  | ({ readonly sourceId: null } & (CompactedFile | { readonly path: null }))
)

/**
 * What these records correct, where that may lie in another cell: a fact that its window names stays where it is; one
 * that a run or a caller's key names may be told of another time, and with a key even of another target.
 */
export async function correctedPlaces(
  places: RecordPlaces,
  tenant: string,
  records: readonly FedRecord['record'][],
): Promise<readonly PlacedRecord[]> {
  const moving = records.filter(
    ({ revision, window, key }) => revision > 0 && (window === undefined || key !== undefined),
  )
  if (moving.length === 0) return []
  const rows = await places.db.query<FoundRow>(FIND, [
    tenant,
    moving.map(recordKey),
    moving.map(({ revision }) => revision - 1),
    moving.map(({ kind }) => kind),
  ])
  const found: PlacedRecord[] = []
  for (const row of rows) {
    if (row.sourceId !== null) found.push(placed(tenant, row))
    else if (row.path !== null) found.push(...(await inFile(places, tenant, row, row.recordId)))
  }
  return found
}

type Place = Extract<FoundRow, { kind: string }>

function placed(tenant: string, row: Omit<Place, 'recordId'>): PlacedRecord {
  const { sourceId, schemaName, tableName, kind, scope, windowStart, windowEnd, effectiveAt } = row
  const series = { target: { sourceId, schema: schemaName, table: tableName }, kind, scope }
  return { tenant, series, windowStart, windowEnd, effectiveAt }
}

async function inFile(
  { files }: RecordPlaces,
  tenant: string,
  file: CompactedFile,
  recordId: string,
): Promise<readonly PlacedRecord[]> {
  for await (const group of readCompactedFile(files, file)) {
    const row = (group.column(columnIndex('recordId')) as readonly string[]).indexOf(recordId)
    if (row >= 0) return [placed(tenant, group.row(row))]
  }
  return []
}
