import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { BODIES, COLUMNS } from '../postgres/read-statements.ts'
import type { CompactedRow } from './compacted-columns.ts'

/** A day ends, and two days later it is closed: a transaction that began on it has ended since, one way or the other. */
export const CLOSED_DAYS = 3

/** What one tenant stored of one kind on one day (UTC, by the database's clock). */
export type StoredDay = {
  readonly tenantNo: number
  readonly tenant: string
  readonly kind: string
  /** `YYYY-MM-DD` */
  readonly day: string
  readonly rows: number
  readonly firstId: string
  readonly lastId: string
  readonly minEffectiveAt: Instant
  readonly maxEffectiveAt: Instant
}

export const startOfDay = (date: string) => `${date}::timestamp at time zone 'UTC'`

const DAYS: Statement = {
  name: 'days_of_stored_metadata_records',
  text: `
select n.tenant_no as "tenantNo", n.tenant, $1::text as kind, to_char(d.day, 'YYYY-MM-DD') as day, d.rows,
       d.first::uuid as "firstId", d.last::uuid as "lastId", d.min_effective_at as "minEffectiveAt",
       d.max_effective_at as "maxEffectiveAt"
  from (select r.tenant_no, (r.stored_at at time zone 'UTC')::date as day, count(*) as rows,
               min(r.record_id::text collate "C") as first, max(r.record_id::text collate "C") as last,
               min(r.effective_at) as min_effective_at, max(r.effective_at) as max_effective_at
          from metadata.record r
         where r.kind = $1::text and r.stored_at < ${startOfDay('($2::date + 1)')}
           and r.stored_at >= coalesce((select ${startOfDay('c.below')} from metadata.compaction c where c.kind = $1::text),
                                       '-infinity')
         group by 1, 2) d
  join metadata.tenant n using (tenant_no)
 order by d.day, d.tenant_no`,
}

/** Days from the kind's boundary on, up to the day `until`, oldest first. */
export function storedDays(db: Queryable, kind: string, until: string): Promise<StoredDay[]> {
  return db.query<StoredDay>(DAYS, [kind, until])
}

const PAGE_ROWS = 500

const PAGE_ENDS: Statement = {
  name: 'page_ends_of_a_metadata_day',
  text: `
select p.record_id as "recordId"
  from (select record_id, row_number() over (order by record_id) as n
          from metadata.record r
         where r.tenant_no = $1::int and r.kind = $2::text
           and r.stored_at >= ${startOfDay('$3::date')} and r.stored_at < ${startOfDay('($3::date + 1)')}) p
 where p.n % ${PAGE_ROWS} = 0
 order by p.record_id`,
}

// A page is a range of ids and has no limit: with one, PostgreSQL took the range of a page for small and the rest of the
// day for smaller, and sorted all of it for each page (190 ms of 20,000 records). The day is no condition of the index
// for the same reason.
const ROWS: Statement = {
  name: 'metadata_records_of_a_day',
  text: `
select n.tenant, ${COLUMNS}
  from metadata.record r ${BODIES}
  join metadata.tenant n on n.tenant_no = r.tenant_no
 where r.record_id >= $4::uuid and r.record_id <= $5::uuid and r.record_id <> $6::uuid
   and r.tenant_no = $1::int and r.kind = $2::text and (r.stored_at at time zone 'UTC')::date = $3::date
 order by r.record_id`,
}

const NO_ID = '00000000-0000-0000-0000-000000000000'

/**
 * Every record of the day in the order of ids, page by page: 500 of the largest are 128 MiB. What is stored on it after
 * it was planned may be missing: `moveBoundary` counts again.
 */
export async function* rowsOfDay(db: Queryable, stored: StoredDay): AsyncGenerator<readonly CompactedRow[]> {
  const { tenantNo, kind, day, firstId, lastId } = stored
  const ends = await db.query<{ recordId: string }>(PAGE_ENDS, [tenantNo, kind, day])
  let [from, before] = [firstId, NO_ID]
  for (const end of [...ends.map(({ recordId }) => recordId), lastId]) {
    if (end === before) continue
    yield await db.query<CompactedRow>(ROWS, [tenantNo, kind, day, from, end, before])
    from = before = end
  }
}

const TODAY: Statement = {
  name: 'today_of_the_database',
  text: `select to_char((now() at time zone 'UTC')::date - $1::int, 'YYYY-MM-DD') as day`,
}

/** The day that was `daysAgo` days before today, by the database's clock. */
export async function dayBefore(db: Queryable, daysAgo: number): Promise<string> {
  const [row] = await db.query<{ day: string }>(TODAY, [daysAgo])
  if (row === undefined) throw new Error('today: expected a day, got none')
  return row.day
}
