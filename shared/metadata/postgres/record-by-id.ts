import type { Queryable, Statement } from '../../postgres/database.ts'
import type { MetadataRecord } from '../model/record.ts'
import { queryStatement } from './read-statements.ts'
import { type StoredRow, toRecord } from './stored-row.ts'

const BY_ID: Statement = {
  name: 'metadata_record_by_id',
  text: queryStatement('\n   and r.record_id = $2::uuid', 3),
}

/** Null where it is another tenant's, too. */
export async function readRecord(db: Queryable, tenant: string, recordId: string): Promise<MetadataRecord | null> {
  const [row] = await db.query<StoredRow>(BY_ID, [tenant, recordId, 1])
  return row === undefined ? null : toRecord(row)
}
