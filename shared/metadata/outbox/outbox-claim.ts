import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'

/** One row of the outbox. */
export type OutboxRow = {
  readonly outboxId: number
  /** Null: the tenant of this deployment. */
  readonly tenant: string | null
  readonly record: string
  /** Waits longer than a missing revision is waited for. */
  readonly old: boolean
  /** Of the database. */
  readonly now: Instant
}

/** How long a record waits for the revision before it. */
const WAIT_HOURS = 24
const BACK_OFF_S_MAX = 3600

const COLUMNS = `
  o.outbox_id as "outboxId", o.tenant, o.record, now() as now,
  o.created_at <= now() - make_interval(hours => ${WAIT_HOURS}) as old`

// Locked by who works on them: a second dispatcher takes others, and a crash frees them at once.
const CLAIM: Statement = {
  name: 'claim_metadata_outbox',
  text: `
select ${COLUMNS}
  from metadata.outbox o
 where o.due_at <= now()
 order by o.due_at, o.outbox_id
 limit $1::int
   for update skip locked`,
}

const CLAIM_THESE: Statement = {
  name: 'claim_these_of_metadata_outbox',
  text: `
select ${COLUMNS}
  from metadata.outbox o
 where o.outbox_id = any($1::bigint[])
 order by o.due_at, o.outbox_id
   for update skip locked`,
}

// For who stores elsewhere, and may hold no transaction meanwhile: a lease. Whoever dies with it, the rows come again.
const LEASE: Statement = {
  name: 'lease_metadata_outbox',
  text: `
update metadata.outbox o
   set due_at = now() + make_interval(secs => $2::int), attempts = o.attempts + 1
  from (select outbox_id from metadata.outbox where due_at <= now() order by due_at, outbox_id limit $1::int
           for update skip locked) due
 where o.outbox_id = due.outbox_id
returning ${COLUMNS}`,
}

const DELETE: Statement = {
  name: 'delete_from_metadata_outbox',
  text: `delete from metadata.outbox where outbox_id = any($1::bigint[])`,
}

const POSTPONE: Statement = {
  name: 'postpone_in_metadata_outbox',
  text: `
update metadata.outbox
   set attempts = attempts + 1,
       due_at = now() + make_interval(secs => least(${BACK_OFF_S_MAX}, power(2, least(attempts, 20))))
 where outbox_id = any($1::bigint[])`,
}

export function claimOutbox(tx: Queryable, limit: number): Promise<OutboxRow[]> {
  return tx.query<OutboxRow>(CLAIM, [limit])
}

/** Those of them that nobody else has taken or done. */
export function claimTheseOfOutbox(tx: Queryable, outboxIds: readonly number[]): Promise<OutboxRow[]> {
  return tx.query<OutboxRow>(CLAIM_THESE, [outboxIds])
}

/** In the order in which they were due. */
export async function leaseOutbox(db: Queryable, limit: number, leaseSeconds: number): Promise<readonly OutboxRow[]> {
  const rows = await db.query<OutboxRow>(LEASE, [limit, leaseSeconds])
  return rows.sort((a, b) => a.outboxId - b.outboxId)
}

export async function deleteFromOutbox(tx: Queryable, outboxIds: readonly number[]): Promise<void> {
  if (outboxIds.length > 0) await tx.query(DELETE, [outboxIds])
}

/** With a pause that doubles, to be tried again. */
export async function postponeInOutbox(tx: Queryable, outboxIds: readonly number[]): Promise<void> {
  if (outboxIds.length > 0) await tx.query(POSTPONE, [outboxIds])
}
