import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { CompactionStoppedError } from './compaction-error.ts'
import type { Lease } from './lease.ts'
import { startOfDay } from './stored-days.ts'

const BATCH = 5_000

const LATEST = `
       (select from metadata.latest l
         where l.target_no = r.target_no and l.kind = r.kind and l.scope = r.scope and l.record_id = r.record_id)`

const below = (kind: string, day: string) => `r.kind = ${kind} and r.stored_at < ${startOfDay(day)}`

const COUNT: Statement = {
  name: 'count_compacted_metadata_records',
  text: `
select count(*) as below, count(*) filter (where not exists ${LATEST}) as deletable
  from metadata.record r
 where ${below(
   '$1::text',
   `greatest(coalesce($2::date + 1, '-infinity'),
             coalesce((select c.below from metadata.compaction c where c.kind = $1::text), '-infinity'))`,
 )}`,
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

// Whatever the boundary says: never a latest one, and never one whose file nobody has seen.
const DELETE: Statement = {
  name: 'delete_compacted_metadata_records',
  text: `
with gone as (
  select r.record_id
    from metadata.record r
    join metadata.compaction c on c.kind = r.kind
   where ${below('$1::text', 'c.below')}
     and exists (select from metadata.lease e where e.lease = $2::text and e.epoch = $3::int)
     and exists (select from metadata.compacted_file f
                  where f.kind = r.kind and f.tenant_no = r.tenant_no
                    and f.stored_day = (r.stored_at at time zone 'UTC')::date)
     and not exists ${LATEST}
   limit ${BATCH}
     for update of r skip locked)
delete from metadata.record r using gone where r.record_id = gone.record_id
returning r.record_id`,
}

/**
 * Deletes one batch of records below the boundary of their kind and returns how many there were: less than BATCH, and
 * there are no more. If there are more than `most`, nothing is deleted.
 */
async function deleteBatch(db: Database, kind: string, lease: Lease, most: number): Promise<number> {
  return db.transaction(async (tx) => {
    const { length } = await tx.query(DELETE, [kind, lease.name, lease.epoch])
    if (length <= most) return length
    throw new CompactionStoppedError(`records of ${kind} below its boundary: expected ${most} more, got ${length}`)
  })
}

/**
 * Deletes what is below the boundary and the latest of nothing; returns how many. `proceed` is asked before each batch.
 * Throws CompactionStoppedError where afterwards the table does not hold the rest.
 */
export async function deleteCompacted(
  db: Database,
  kind: string,
  lease: Lease,
  proceed: () => Promise<boolean>,
): Promise<number> {
  const planned = await countDeletable(db, kind, null)
  let deleted = 0
  while (planned.deletable > 0 && (await proceed())) {
    // What was the latest when it was counted may be displaced meanwhile: it may go too.
    const batch = await deleteBatch(db, kind, lease, planned.below - deleted)
    deleted += batch
    if (batch < BATCH) break
  }
  const left = await countDeletable(db, kind, null)
  if (left.below === planned.below - deleted) return deleted
  throw new CompactionStoppedError(
    `records of ${kind} below its boundary: expected ${planned.below - deleted} after ${deleted} were deleted, got ${left.below}`,
  )
}
