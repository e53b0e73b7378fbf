import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { ByPerson } from '../outbox/rejects.ts'
import type { FeedPosition } from './feed.ts'

/** The right to consume, until it runs out or the epoch is another's. */
export type ConsumerLease = { readonly consumer: string; readonly epoch: number; readonly position: FeedPosition }

// A new consumer, and one of another generation, begins at the first record that is hot. What is held is left alone.
const ACQUIRE: Statement = {
  name: 'acquire_metadata_consumer',
  text: `
insert into metadata.consumer as c (consumer, generation, xid, seq, epoch, lease_expires_at)
select $1::text, f.generation, '0'::xid8, 0, 1, now() + make_interval(secs => $2::int) from metadata.feed f
on conflict (consumer) do update
   set epoch = c.epoch + 1, lease_expires_at = excluded.lease_expires_at, generation = excluded.generation,
       xid = case when c.generation = excluded.generation then c.xid else '0'::xid8 end,
       seq = case when c.generation = excluded.generation then c.seq else 0 end
 where c.lease_expires_at is null or c.lease_expires_at <= now()
returning c.epoch, c.generation::text, c.xid::text, c.seq::text`,
}

// Whoever lost the lease moves nothing. A cursor of another generation is not moved either: it begins again.
const MOVE: Statement = {
  name: 'move_metadata_consumer',
  text: `
update metadata.consumer
   set xid = $4::xid8, seq = $5::bigint, lease_expires_at = now() + make_interval(secs => $6::int), updated_at = now()
 where consumer = $1::text and epoch = $2::int and generation = $3::uuid
returning epoch`,
}

const RELEASE: Statement = {
  name: 'release_metadata_consumer',
  text: `update metadata.consumer set lease_expires_at = null where consumer = $1::text and epoch = $2::int`,
}

const FORGET: Statement = {
  name: 'forget_metadata_consumer',
  text: `
delete from metadata.consumer
 where consumer = $1::text and (lease_expires_at is null or lease_expires_at <= now())
returning xid::text, seq::text`,
}

/** Null: somebody else holds it. */
export async function acquireConsumer(
  db: Queryable,
  consumer: string,
  leaseSeconds: number,
): Promise<ConsumerLease | null> {
  const [row] = await db.query<FeedPosition & { epoch: number }>(ACQUIRE, [consumer, leaseSeconds])
  if (row === undefined) return null
  const { epoch, ...position } = row
  return { consumer, epoch, position }
}

/** Moves the cursor and renews the lease; null: it is somebody else's by now, and nothing was moved. */
export async function moveConsumer(
  db: Queryable,
  { consumer, epoch }: ConsumerLease,
  { generation, xid, seq }: FeedPosition,
  leaseSeconds: number,
): Promise<ConsumerLease | null> {
  const moved = await db.query(MOVE, [consumer, epoch, generation, xid, seq, leaseSeconds])
  return moved.length === 0 ? null : { consumer, epoch, position: { generation, xid, seq } }
}

export async function releaseConsumer(db: Queryable, { consumer, epoch }: ConsumerLease): Promise<void> {
  await db.query(RELEASE, [consumer, epoch])
}

/**
 * Of a consumer that runs no more: its cursor would hold back compaction, and its lag everybody who writes. False where
 * there is none, or where it is at work. Should it run again, it begins at the first record that is hot.
 */
export function forgetConsumer(db: Database, consumer: string, by: ByPerson): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [before] = await tx.query<{ xid: string; seq: string }>(FORGET, [consumer])
    if (before === undefined) return false
    const after = { reason: by.reason }
    await recordAudit(tx, { actor: by.actor, action: 'forget_metadata_consumer', subject: consumer, before, after })
    return true
  })
}
