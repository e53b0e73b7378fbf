import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { CompactionStoppedError } from './compaction-error.ts'
import type { Lease } from './lease.ts'
import { startOfDay } from './stored-days.ts'

const BATCH = 5_000

// Looked up row by row: as a join its plan hung on statistics that young tables do not have, and read all of `latest`
// for each record (1.3 s for a batch, 0.1 s this way).
const OLDER = `
       (select l.record_id from metadata.latest l
         where l.target_no = r.target_no and l.kind = r.kind and l.scope = r.scope) is distinct from r.record_id`

const below = (kind: string, day: string) => `r.kind = ${kind} and r.stored_at < ${startOfDay(day)}`

// The boundary, or where it will be once the day $2 is below it.
const BOUNDARY = `greatest(coalesce($2::date + 1, '-infinity'),
             coalesce((select c.below from metadata.compaction c where c.kind = $1::text), '-infinity'))`

const COUNT: Statement = {
  name: 'count_compacted_metadata_records',
  text: `
select count(*) as below, count(*) filter (where ${OLDER}) as deletable
  from metadata.record r
 where ${below('$1::text', BOUNDARY)}`,
}

export type Deletable = {
  /** Records below the boundary. */
  readonly below: number
  /** Those of them that are the latest of nothing. */
  readonly deletable: number
}

/** What of a kind may go: below its boundary, and where that will move, up to the day `until` too. */
export async function countDeletable(db: Queryable, kind: string, until: string | null): Promise<Deletable> {
  const [row] = await db.query<Deletable>(COUNT, [kind, until])
  if (row === undefined) throw new Error(`records of ${kind}: expected a count, got none`)
  return row
}

const BATCHES: Statement = {
  name: 'batches_of_compacted_metadata_records',
  text: `
select b.first, b.last
  from (select min(d.id) as first, max(d.id) as last
          from (select r.record_id::text collate "C" as id, row_number() over (order by r.record_id) as n
                  from metadata.record r
                 where ${below('$1::text', BOUNDARY)} and ${OLDER}) d
         group by (d.n - 1) / ${BATCH}) b
 order by b.first`,
}

// Whatever was planned: only below the boundary, never a latest one, and never one whose file nobody has seen. A batch
// is a range of ids: with a limit every batch went over what those before it had left dead, or sorted all that was left.
const DELETE: Statement = {
  name: 'delete_compacted_metadata_records',
  text: `
with gone as (
  select r.record_id
    from metadata.record r
    join metadata.compaction c on c.kind = r.kind
   where r.kind = $1::text and (r.stored_at at time zone 'UTC') < c.below::timestamp
     and exists (select from metadata.lease e where e.lease = $2::text and e.epoch = $3::int)
     and (select f.rows from metadata.compacted_file f
           where f.kind = r.kind and f.tenant_no = r.tenant_no
             and f.stored_day = (r.stored_at at time zone 'UTC')::date) is not null
     and ${OLDER}
     and r.record_id >= $4::uuid and r.record_id <= $5::uuid
     for update of r skip locked)
delete from metadata.record r using gone where r.record_id = gone.record_id
returning r.record_id`,
}

/**
 * Deletes what is below the boundary and the latest of nothing; returns how many. `proceed` is asked before each batch.
 * Throws CompactionStoppedError where there is more than was counted, and where the table does not hold the rest.
 */
export async function deleteCompacted(
  db: Database,
  kind: string,
  lease: Lease,
  proceed: () => Promise<boolean>,
): Promise<number> {
  const planned = await countDeletable(db, kind, null)
  let deleted = 0
  for (const { first, last } of await db.query<{ first: string; last: string }>(BATCHES, [kind, null])) {
    if (!(await proceed())) break
    deleted += await db.transaction(async (tx) => {
      const { length } = await tx.query(DELETE, [kind, lease.name, lease.epoch, first, last])
      // What was the latest when it was counted may be displaced meanwhile: it may go too.
      if (deleted + length <= planned.below) return length
      throw stopped(kind, `at most ${planned.below} to delete, got ${deleted + length}`)
    })
  }
  const left = await countDeletable(db, kind, null)
  if (left.below === planned.below - deleted) return deleted
  throw stopped(kind, `${planned.below - deleted} after ${deleted} were deleted, got ${left.below}`)
}

function stopped(kind: string, detail: string): CompactionStoppedError {
  return new CompactionStoppedError(`records of ${kind} below its boundary: expected ${detail}`)
}
