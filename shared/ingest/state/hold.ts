import { recordAudit } from '../../ops/audit.ts'
import type { Database, Statement } from '../../postgres/database.ts'
import type { SelectedStream } from '../plan/select-streams.ts'
import { lockStream } from './lock-stream.ts'

const HOLD: Statement = {
  name: 'hold_stream',
  text: `
update ingest.stream set held_reason = $2::text, updated_at = now()
 where stream_id = $1::bigint and held_reason is null
returning stream_id`,
}

// The hints of what waited are sent again at once.
const FREE: Statement = {
  name: 'free_stream',
  text: `
with held as materialized (
  select stream_id, held_reason from ingest.stream where stream_id = $1::bigint and held_reason is not null
), freed as (
  update ingest.stream s set held_reason = null, updated_at = now() from held h where s.stream_id = h.stream_id
), sent_again as (
  update provenance.source_ingest i set queued_at = null
    from held h where i.stream_id = h.stream_id and i.state = 'landed'
)
select held_reason as reason from held`,
}

export type HoldRequest = {
  readonly stream: Pick<SelectedStream, 'streamId' | 'name'>
  readonly reason: string
  readonly actor: string
}

/** From now on nothing of the stream is claimed for curating; planning and landing go on. False where it is held. */
export async function holdStream(db: Database, { stream, reason, actor }: HoldRequest): Promise<boolean> {
  return db.transaction(async (tx) => {
    await lockStream(tx, stream.streamId)
    const held = await tx.query(HOLD, [stream.streamId, reason])
    if (held.length === 0) return false
    await recordAudit(tx, { actor, action: 'hold_stream', subject: stream.name, after: { reason } })
    return true
  })
}

/** Lets through everything that landed meanwhile. False where the stream is not held. */
export async function freeStream(db: Database, { stream, reason, actor }: HoldRequest): Promise<boolean> {
  return db.transaction(async (tx) => {
    await lockStream(tx, stream.streamId)
    const [held] = await tx.query<{ reason: string }>(FREE, [stream.streamId])
    if (held === undefined) return false
    await recordAudit(tx, { actor, action: 'free_stream', subject: stream.name, before: held, after: { reason } })
    return true
  })
}
