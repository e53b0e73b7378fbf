import { PermanentError } from '../../errors.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'

const LOCK: Statement = {
  name: 'lock_stream',
  text: `select stream_id from ingest.stream where stream_id = $1::bigint for update`,
}

/**
 * First statement of every transaction that changes several ingests of a stream: what follows sees all that others
 * committed while it waited. Throws PermanentError where there is no such stream.
 */
export async function lockStream(tx: Queryable, streamId: number): Promise<void> {
  const rows = await tx.query(LOCK, [streamId])
  if (rows.length === 0) throw new PermanentError(`stream ${streamId}: expected a stream of this database, got none`)
}
