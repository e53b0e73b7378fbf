import { ConfigError } from '../../errors.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { lockStream } from './lock-stream.ts'
import { ACTIVE_STATES, nextState, type State } from './state-machine.ts'
import type { UnpublishedIngest } from './unpublished.ts'

export type CancelRequest = { readonly ingest: UnpublishedIngest; readonly actor: string; readonly reason: string }

export type Cancelled = {
  readonly sourceIngestId: string
  readonly stream: string
  readonly state: State
  /** False where it was cancelled already. */
  readonly changed: boolean
}

// Locked before its listing is looked at: who lists an ingest in a partition holds this lock meanwhile, so what follows
// sees every listing there is, and none comes after the cancel.
const LOCK: Statement = {
  name: 'lock_ingest_to_cancel',
  text: `
select i.state, i.epoch, i.by_mark as "byMark", i.error_class as "errorClass", i.error_summary as "errorSummary",
       ${nextState('i', 'cancel')} is not null as cancellable
  from provenance.source_ingest i where i.source_ingest_id = $1::uuid for update`,
}

type Locked = {
  readonly state: State
  readonly epoch: number
  readonly byMark: boolean
  readonly errorClass: string | null
  readonly errorSummary: string | null
  /** The table of states allows it. */
  readonly cancellable: boolean
}

const LISTED: Statement = {
  name: 'partitions_of_ingest',
  text: `select count(*) as partitions from curated.partition_ingest where source_ingest_id = $1::uuid`,
}

// What had landed counts as fetched and would never be asked for again: what no other ingest has published of it is a
// hole from now on.
const CANCEL: Statement = {
  name: 'cancel_by_person',
  text: `
with cancelled as (
  update provenance.source_ingest i
     set state = ${nextState('i', 'cancel')}, finished_at = now(), next_attempt_at = null, claimed_by = null,
         lease_expires_at = null, error_class = 'cancelled', error_summary = $2::text
   where i.source_ingest_id = $1::uuid and ${nextState('i', 'cancel')} is not null
  returning i.stream_id, i.lo, i.hi, i.landed_epoch
)
update ingest.stream s
   set fetched = s.fetched - (tstzmultirange(tstzrange(c.lo, c.hi)) - s.published), updated_at = now()
  from cancelled c
 where s.stream_id = c.stream_id and c.lo is not null and c.landed_epoch is not null`,
}

/**
 * Takes an active ingest back; a worker that has it finds its epoch gone. The planner plans a window again unless its
 * stream is paused or the window accepted. Refused where rows of it may be in curated files. Throws ConfigError.
 */
export async function cancelIngest(db: Database, { ingest, actor, reason }: CancelRequest): Promise<Cancelled> {
  const { sourceIngestId, streamId, stream } = ingest
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const [locked] = await tx.query<Locked>(LOCK, [sourceIngestId])
    if (locked === undefined) throw new ConfigError([`ingest ${sourceIngestId}: expected it to be there, it is gone`])
    if (locked.state === 'cancelled') return { sourceIngestId, stream, state: 'cancelled', changed: false }
    await check(tx, sourceIngestId, locked)
    await tx.query(CANCEL, [sourceIngestId, `cancelled by ${actor}: ${reason}`])
    const { cancellable: _, ...before } = locked
    const after = { reason, state: 'cancelled' }
    await recordAudit(tx, { actor, action: 'cancel_ingest', subject: sourceIngestId, before, after })
    return { sourceIngestId, stream, state: 'cancelled', changed: true }
  })
}

async function check(tx: Queryable, sourceIngestId: string, { state, byMark, cancellable }: Locked): Promise<void> {
  if (!cancellable) {
    const instead =
      state === 'failed' || state === 'quarantined'
        ? '; replay it, or accept its window: tributary coverage accept'
        : ''
    throw new ConfigError([
      `ingest ${sourceIngestId}: expected one of ${ACTIVE_STATES.join(', ')} to cancel, got ${state}${instead}`,
    ])
  }
  if (byMark) {
    throw new ConfigError([
      `ingest ${sourceIngestId}: expected an ingest to cancel, got the rebuild that takes away rows of a version that no longer counts`,
    ])
  }
  const [listed] = await tx.query<{ partitions: number }>(LISTED, [sourceIngestId])
  if (listed !== undefined && listed.partitions > 0) {
    throw new ConfigError([
      `ingest ${sourceIngestId}: expected no row of it in curated files, got ${listed.partitions} files that may have some; it can only be finished (a stuck worker: tributary lease break ${sourceIngestId})`,
    ])
  }
}
