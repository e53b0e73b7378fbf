import type { Statement } from '../../postgres/database.ts'
import { COLUMNS } from '../postgres/read-statements.ts'

/**
 * Follows a row `r` of metadata.record, for COLUMNS. Looked up row by row: a plan for any limit would join all targets and
 * all schema bodies to a page. `s` is an expression: as a join, bodies of records were keys of its cache, and took a
 * third of the time.
 */
export const STORED_BODIES = `
  left join lateral (
    select t.source_id, t.schema_name, t.table_name from metadata.target t where t.target_no = r.target_no limit 1) t on true
  left join lateral (
    select case when r.kind = 'schema_snapshot' then (
             select s.body from metadata.schema_body s
              where s.tenant_no = r.tenant_no and s.fingerprint = r.body #>> '{payload,fingerprint}') end as body) s on true`

/** Of the whole page. $3: when nothing behind the position could be read yet; `kind` is SQL. */
const pageFacts = (kind: string) => `
  select f.generation, pg_snapshot_xmin(pg_current_snapshot()) as horizon, statement_timestamp() as "readAt",
         exists (select from metadata.compaction c
                  where (${kind} is null or c.kind = ${kind})
                    and c.below::timestamp at time zone 'UTC' > $3::timestamptz - interval '1 day') as gone,
         (select max(c.below)::timestamp at time zone 'UTC' + interval '1 day' from metadata.compaction c
           where (${kind} is null or c.kind = ${kind})) as "hotFrom"
    from metadata.feed f`

/** $1 and $2 are the position. The planner knows its order, and stops early where less is wanted of it. */
const following = (columns: string, rest: string) => `
   select ${columns} from metadata.record r
    where (r.xid, r.seq) > ($1::xid8, $2::bigint) and r.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by r.xid, r.seq
    ${rest}`

/**
 * One statement, hence one snapshot: a row whose transaction began before one that is still open is not given, because
 * that one could commit a row before it. What it gives is to be sorted: a sort here would carry all bodies.
 */
export const READ_FEED: Statement = {
  name: 'read_metadata_feed',
  text: `
with feed as materialized (${pageFacts('null::text')}
)
select (select row_to_json(f)::text from feed f) as page, r.xid::text, r.seq::text, ${COLUMNS}
  from feed
  left join (${following('r.*', 'limit $4::int')}) r on true ${STORED_BODIES}`,
}

/**
 * The same for one tenant ($6) or kind ($7): what matches among the next $5 rows, and where these end if that is not a
 * whole page, so that nobody reads the whole feed for one.
 */
export const READ_FEED_OF: Statement = {
  name: 'read_metadata_feed_of',
  text: `
with feed as materialized (${pageFacts('$7::text')}
), matched as materialized (
  select s.record_id
    from (${following('r.record_id, r.xid, r.seq, r.tenant_no, r.kind', 'limit $5::int')}) s
   where ($6::text is null or s.tenant_no = (select n.tenant_no from metadata.tenant n where n.tenant = $6::text))
     and ($7::text is null or s.kind = $7::text)
   order by s.xid, s.seq
   limit $4::int
), page as (
  select f.*, e.xid as "scannedXid", e.seq::text as "scannedSeq", e.stored_at as "scannedStoredAt"
    from feed f
    left join lateral (
      select e.* from (${following('r.xid, r.seq, r.stored_at', 'offset $5::int - 1 limit 1')}) e
       where (select count(*) from matched) < $4::int) e on true
)
select (select row_to_json(p)::text from page p) as page, r.xid::text, r.seq::text, ${COLUMNS}
  from feed
  left join matched m on true
  left join lateral (select r.* from metadata.record r where r.record_id = m.record_id limit 1) r on true ${STORED_BODIES}`,
}

/** Rows that a consumer's lag is counted up to: more is told apart by its age. */
const LAG_ROWS_MAX = 10_000

// Of another generation: it will begin again.
export const FEED_LAG: Statement = {
  name: 'lag_of_metadata_feed',
  text: `
select c.consumer, coalesce(l.rows, 0) as rows,
       greatest(extract(epoch from statement_timestamp() - l.oldest), 0)::float8 as seconds
  from metadata.consumer c
 cross join metadata.feed f
 cross join lateral (
   select count(*) as rows, min(n.stored_at) as oldest
     from (select r.stored_at from metadata.record r
            where (r.xid, r.seq) > (case when c.generation = f.generation then c.xid else '0'::xid8 end,
                                    case when c.generation = f.generation then c.seq else 0 end)
            order by r.xid, r.seq
            limit ${LAG_ROWS_MAX}) n) l
 order by c.consumer`,
}

export const HELD_BACK: Statement = {
  name: 'held_back_of_metadata_feed',
  text: `
select greatest(extract(epoch from statement_timestamp() - min(n.stored_at)), 0)::float8 as seconds
  from (select r.stored_at from metadata.record r
         where r.xid >= pg_snapshot_xmin(pg_current_snapshot())
         order by r.xid, r.seq
         limit ${LAG_ROWS_MAX}) n`,
}

export const RESTART_FEED: Statement = {
  name: 'restart_metadata_feed',
  text: `
with old as (select generation from metadata.feed for update)
update metadata.feed f set generation = gen_random_uuid(), started_at = greatest(now(), f.started_at + interval '1 microsecond')
  from old
returning f.generation::text, old.generation::text as before`,
}

// A dump that was loaded into another server: its numbers are ahead of the server's own, and nobody would read them.
export const RENUMBER_FEED: Statement = {
  name: 'renumber_metadata_feed',
  text: `
update metadata.record set xid = pg_current_xact_id() where xid >= pg_snapshot_xmax(pg_current_snapshot())`,
}
