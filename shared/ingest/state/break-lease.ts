import { ConfigError } from '../../errors.ts'
import { formatInstant, type Instant } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Statement } from '../../postgres/database.ts'
import { lockStream } from './lock-stream.ts'
import type { UnpublishedIngest } from './unpublished.ts'

export type BreakRequest = { readonly ingest: UnpublishedIngest; readonly actor: string; readonly reason: string }

export type BrokenLease = {
  readonly sourceIngestId: string
  readonly stream: string
  readonly claimedBy: string | null
  readonly epoch: number
  /** False where the lease had run out already. */
  readonly changed: boolean
}

// A new epoch, because a worker that lives would only renew what has run out. From here on it can change nothing.
const BREAK: Statement = {
  name: 'break_lease',
  text: `
update provenance.source_ingest i
   set lease_expires_at = now() - interval '1 second', epoch = i.epoch + 1
  from (select source_ingest_id, epoch, claimed_by, lease_expires_at
          from provenance.source_ingest where source_ingest_id = $1::uuid for update) b
 where i.source_ingest_id = b.source_ingest_id and i.state in ('landing', 'curating') and i.lease_expires_at >= now()
returning b.epoch as "epochBefore", b.lease_expires_at as "leaseExpiresAt", i.claimed_by as "claimedBy", i.epoch`,
}

const HELD: Statement = {
  name: 'lease_of_ingest',
  text: `
select state, claimed_by as "claimedBy", epoch from provenance.source_ingest where source_ingest_id = $1::uuid`,
}

type Broken = {
  readonly epochBefore: number
  readonly leaseExpiresAt: Instant
  readonly claimedBy: string | null
  readonly epoch: number
}

/**
 * Ends a worker's hold on an ingest by the database clock: whatever the worker still does, it can no longer change a
 * row. The next sweep takes the ingest over. Throws ConfigError where no worker holds it.
 */
export async function breakLease(db: Database, { ingest, actor, reason }: BreakRequest): Promise<BrokenLease> {
  const { sourceIngestId, streamId, stream } = ingest
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const [broken] = await tx.query<Broken>(BREAK, [sourceIngestId])
    if (broken !== undefined) {
      const { epochBefore, leaseExpiresAt, claimedBy, epoch } = broken
      const before = { claimedBy, epoch: epochBefore, leaseExpiresAt: formatInstant(leaseExpiresAt) }
      await recordAudit(tx, { actor, action: 'break_lease', subject: sourceIngestId, before, after: { reason, epoch } })
      return { sourceIngestId, stream, claimedBy, epoch, changed: true }
    }
    const [held] = await tx.query<{ state: string; claimedBy: string | null; epoch: number }>(HELD, [sourceIngestId])
    if (held?.state === 'landing' || held?.state === 'curating') {
      return { sourceIngestId, stream, claimedBy: held.claimedBy, epoch: held.epoch, changed: false }
    }
    throw new ConfigError([
      `lease of ingest ${sourceIngestId}: expected a worker that holds it (landing or curating), got ${held?.state}; tributary lease list shows those that are held`,
    ])
  })
}
