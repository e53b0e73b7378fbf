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

const COUNT: Statement = {
  name: 'count_compacted_metadata_records',
  text: `
select count(*) as below, count(*) filter (where ${OLDER}) as deletable,
       min(r.record_id::text collate "C") as "firstId", max(r.record_id::text collate "C") as "lastId"
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
  /** Of the records below the boundary. */
  readonly firstId: string | null
  readonly lastId: string | null
}

/** What of a kind may go: below its boundary, and where that will move, up to the day `until` too. */
export async function countDeletable(db: Queryable, kind: string, until: string | null): Promise<Deletable> {
  const [row] = await db.query<Deletable>(COUNT, [kind, until])
  if (row === undefined) throw new Error(`records of ${kind}: expected a count, got none`)
  return row
}

// Whatever the boundary says: never a latest one, and never one whose file nobody has seen. In the order of ids, so that
// no batch goes over what the batches before it left dead.
const DELETE: Statement = {
  name: 'delete_compacted_metadata_records',
  text: `
with gone as (
  select r.record_id
    from metadata.record r
    join metadata.compaction c on c.kind = r.kind
   where ${below('$1::text', 'c.below')}
     and exists (select from metadata.lease e where e.lease = $2::text and e.epoch = $3::int)
     and (select f.rows from metadata.compacted_file f
           where f.kind = r.kind and f.tenant_no = r.tenant_no
             and f.stored_day = (r.stored_at at time zone 'UTC')::date) is not null
     and ${OLDER}
     and r.record_id >= $4::uuid and r.record_id <= $5::uuid
   order by r.record_id
   limit ${BATCH}
     for update of r skip locked)
delete from metadata.record r using gone where r.record_id = gone.record_id
returning r.record_id as "recordId"`,
}

type Batch = {
  readonly kind: string
  readonly lease: Lease
  readonly fromId: string
  readonly lastId: string
  /** More than these, and nothing is deleted. */
  readonly most: number
}

/** Ids of the records that were deleted; less than BATCH: there are no more. */
async function deleteBatch(db: Database, { kind, lease, fromId, lastId, most }: Batch): Promise<readonly string[]> {
  return db.transaction(async (tx) => {
    const rows = await tx.query<{ recordId: string }>(DELETE, [kind, lease.name, lease.epoch, fromId, lastId])
    if (rows.length <= most) return rows.map(({ recordId }) => recordId)
    throw new CompactionStoppedError(`records of ${kind} below its boundary: expected ${most} more, got ${rows.length}`)
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
  if (planned.deletable === 0 || planned.firstId === null || planned.lastId === null) return 0
  let [deleted, fromId] = [0, planned.firstId]
  while (await proceed()) {
    // What was the latest when it was counted may be displaced meanwhile: it may go too.
    const most = planned.below - deleted
    const ids = await deleteBatch(db, { kind, lease, fromId, lastId: planned.lastId, most })
    deleted += ids.length
    if (ids.length < BATCH) break
    fromId = ids.reduce((greatest, id) => (id > greatest ? id : greatest))
  }
  const left = await countDeletable(db, kind, null)
  if (left.below === planned.below - deleted) return deleted
  throw new CompactionStoppedError(
    `records of ${kind} below its boundary: expected ${planned.below - deleted} after ${deleted} were deleted, got ${left.below}`,
  )
}
