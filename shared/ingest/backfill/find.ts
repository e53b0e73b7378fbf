import { ConfigError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'

export type BackfillState = 'active' | 'paused' | 'cancelled' | 'finished'

export type Backfill = {
  readonly backfillId: string
  readonly selector: { readonly streams: readonly string[] }
  readonly from: Instant | null
  readonly to: Instant | null
  readonly step: string | null
  readonly newestFirst: boolean
  readonly again: boolean
  readonly state: BackfillState
  readonly enqueuedAt: Instant | null
  readonly requestedBy: string
  readonly createdAt: Instant
  readonly finishedAt: Instant | null
}

const COLUMNS = `
  b.backfill_id as "backfillId", b.selector, b.lo as "from", b.hi as "to", b.step, b.newest_first as "newestFirst",
  b.again, b.state, b.enqueued_at as "enqueuedAt", b.requested_by as "requestedBy", b.created_at as "createdAt",
  b.finished_at as "finishedAt"`

const FIND: Statement = {
  name: 'find_backfill',
  text: `select ${COLUMNS} from ingest.backfill b where b.backfill_id = $1::uuid`,
}

// The oldest that a worker can do something for: one that waits for a person keeps no other waiting.
const NEXT: Statement = {
  name: 'next_backfill',
  text: `
select ${COLUMNS}
  from ingest.backfill b
 where b.state = 'active' and b.enqueued_at is null
   and exists (select from provenance.source_ingest i join ingest.stream s using (stream_id)
                where i.backfill_id = b.backfill_id and not s.paused
                  and (i.state in ('planned', 'landing', 'curating') or (i.state = 'landed' and s.held_reason is null)))
 order by b.created_at, b.backfill_id
 limit 1`,
}

const LIST: Statement = {
  name: 'list_backfills',
  text: `
select ${COLUMNS} from ingest.backfill b
 order by b.state in ('active', 'paused') desc, b.created_at desc limit $1::int`,
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/** Throws ConfigError where there is no such backfill. */
export async function findBackfill(db: Queryable, id: string): Promise<Backfill> {
  const [found] = UUID.test(id) ? await db.query<Backfill>(FIND, [id]) : []
  if (found !== undefined) return found
  throw new ConfigError([
    `backfill: expected the id of a backfill, got "${id}"; tributary backfill status lists those there are`,
  ])
}

/** The oldest active backfill that is not the queue's and has work that is not waiting for a person; null: none. */
export async function nextBackfill(db: Queryable): Promise<Backfill | null> {
  return (await db.query<Backfill>(NEXT))[0] ?? null
}

/** Active and paused ones first, then the newest. */
export async function listBackfills(db: Queryable, countMax: number): Promise<readonly Backfill[]> {
  return db.query<Backfill>(LIST, [countMax])
}
