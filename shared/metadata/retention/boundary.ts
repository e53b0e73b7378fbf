import { LeaseLostError } from '../../errors.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { CompactionStoppedError } from './compaction-error.ts'
import { type Lease, renewLease } from './lease.ts'
import { CLOSED_DAYS, startOfDay } from './stored-days.ts'

// Where nothing is compacted yet the boundary stands before the first day: nothing is below it.
const BEGIN: Statement = {
  name: 'begin_metadata_compaction',
  text: `insert into metadata.compaction (kind, below) values ($1::text, $2::date) on conflict do nothing`,
}

const BELOW: Statement = {
  name: 'metadata_compaction_boundary',
  text: `select to_char(below, 'YYYY-MM-DD') as below from metadata.compaction where kind = $1::text`,
}

/** The boundary of a kind, which begins at `firstDay`; null: nothing of it was ever to be compacted. */
export async function boundaryOf(db: Queryable, kind: string, firstDay: string | null): Promise<string | null> {
  if (firstDay !== null) await db.query(BEGIN, [kind, firstDay])
  const [row] = await db.query<{ below: string }>(BELOW, [kind])
  return row?.below ?? null
}

// Materialised: in the order of the index it would begin at the newest of all records.
const LAST_POSITION: Statement = {
  name: 'last_position_of_a_metadata_day',
  text: `
with day as materialized (
  select xid, seq from metadata.record
   where kind = $1::text and stored_at >= ${startOfDay('$2::date')} and stored_at < ${startOfDay('($3::date + 1)')}
)
select xid::text as xid, seq::text as seq from day order by day.xid desc, day.seq desc limit 1`,
}

// A consumer of another generation reads another database's positions: it has read nothing of this one.
const behind = (xid: string, seq: string) =>
  `(n.generation <> (select f.generation from metadata.feed f) or (n.xid, n.seq) < (${xid}::xid8, ${seq}::bigint))`

const inDays = (column: string) =>
  `${column} >= ${startOfDay('$3::date')} and ${column} < ${startOfDay('($2::date + 1)')}`

// ONE statement, one snapshot: from here on readers take these days from their files. They are all there, they hold as
// many records as the table, everybody who follows the feed is past them, nothing can be added to them any more, and
// nobody else has moved the boundary or taken over.
const MOVE: Statement = {
  name: 'move_metadata_compaction_boundary',
  text: `
update metadata.compaction c set below = $2::date + 1, updated_at = now()
 where c.kind = $1::text and c.below = $3::date and c.below < $2::date + 1
   and $2::date + ${CLOSED_DAYS} <= (now() at time zone 'UTC')::date
   and exists (select from metadata.lease l where l.lease = $6::text and l.epoch = $7::int)
   and not exists (select from metadata.consumer n where ${behind('$4', '$5')})
   and not exists (
     select from (select r.tenant_no, (r.stored_at at time zone 'UTC')::date as stored_day, count(*) as rows
                    from metadata.record r
                   where r.kind = $1::text and ${inDays('r.stored_at')}
                   group by 1, 2) stored
       full join (select f.tenant_no, f.stored_day, f.rows from metadata.compacted_file f
                   where f.kind = $1::text and f.stored_day between $3::date and $2::date) filed
         using (tenant_no, stored_day)
      where stored.rows is distinct from filed.rows)
returning to_char(c.below, 'YYYY-MM-DD') as below`,
}

const WAITING: Statement = {
  name: 'metadata_consumers_before_a_position',
  text: `select n.consumer from metadata.consumer n where ${behind('$1', '$2')} order by n.consumer`,
}

export type BoundaryMove = {
  readonly kind: string
  /** The last day below the new boundary. */
  readonly day: string
  /** Where the boundary is now. */
  readonly below: string
  readonly lease: Lease
}

export type Moved =
  | { readonly moved: true; readonly below: string }
  /** Consumers that have still to read the days. */
  | { readonly moved: false; readonly waitsFor: readonly string[] }

/**
 * Moves the boundary of a kind behind `day`. Throws LeaseLostError where another compactor works on it, and
 * CompactionStoppedError where the table holds something else than the files of these days.
 */
export async function moveBoundary(db: Queryable, { kind, day, below, lease }: BoundaryMove): Promise<Moved> {
  const [last] = await db.query<{ xid: string; seq: string }>(LAST_POSITION, [kind, below, day])
  const position = [last?.xid ?? '0', last?.seq ?? '0']
  const [row] = await db.query<{ below: string }>(MOVE, [kind, day, below, ...position, lease.name, lease.epoch])
  if (row !== undefined) return { moved: true, below: row.below }
  const waiting = await db.query<{ consumer: string }>(WAITING, position)
  if (waiting.length > 0) return { moved: false, waitsFor: waiting.map(({ consumer }) => consumer) }
  const still = await boundaryOf(db, kind, null)
  if (still !== below || !(await renewLease(db, lease))) {
    throw new LeaseLostError(`boundary of ${kind}: expected it at ${below}, another compactor moved it to ${still}`)
  }
  throw new CompactionStoppedError(
    `boundary of ${kind}: expected as many records in the files of ${below} to ${day} as in the table, got others`,
  )
}
