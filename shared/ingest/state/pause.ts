import { recordAudit } from '../../ops/audit.ts'
import type { Database, Statement } from '../../postgres/database.ts'
import type { SelectedStream } from '../plan/select-streams.ts'

const PAUSE: Statement = {
  name: 'pause_by_person',
  text: `
update ingest.stream set paused = true, paused_reason = $2::text, updated_at = now()
 where stream_id = $1::bigint and not paused
returning stream_id`,
}

// What waited for it is due at once, and so is the next plan.
const RESUME: Statement = {
  name: 'resume_by_person',
  text: `
with resumed as (
  update ingest.stream s set paused = false, paused_reason = null, next_plan_at = null, updated_at = now()
   where s.stream_id = $1::bigint and s.paused
  returning s.stream_id
), sent_again as (
  update provenance.source_ingest i set queued_at = null
    from resumed r where i.stream_id = r.stream_id and i.state in ('planned', 'landed')
)
select stream_id from resumed`,
}

export type PauseRequest = { readonly stream: SelectedStream; readonly reason: string; readonly actor: string }

/** Nothing of the stream is planned or claimed any more; what is under way ends. False where it is paused already. */
export async function pauseStream(db: Database, { stream, reason, actor }: PauseRequest): Promise<boolean> {
  return db.transaction(async (tx) => {
    if ((await tx.query(PAUSE, [stream.streamId, reason])).length === 0) return false
    await recordAudit(tx, { actor, action: 'pause_stream', subject: stream.name, after: { reason } })
    return true
  })
}

/** Goes on where it was paused, whoever paused it: a person, missing credentials, the streams file. False where it runs. */
export async function resumeStream(db: Database, { stream, reason, actor }: PauseRequest): Promise<boolean> {
  return db.transaction(async (tx) => {
    if ((await tx.query(RESUME, [stream.streamId])).length === 0) return false
    const before = { reason: stream.pausedReason }
    await recordAudit(tx, { actor, action: 'resume_stream', subject: stream.name, before, after: { reason } })
    return true
  })
}
