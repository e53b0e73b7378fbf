import type { Statement } from '../../postgres/database.ts'

/**
 * Keys, records and the latest of each series, in one statement and each in key order: two batches with common keys
 * wait for each other and never deadlock (84 deadlocks in 150 rounds without the order). At most one record per key.
 *
 * The revision before is looked up row by row: a plan that joined the table read all of it for every batch (11 ms for
 * one record over 60,000). Bodies come as one JSON array: as an array of texts, every quote in them was escaped first.
 *
 * What comes back is new. Whether the rest is a replay or a conflict is another statement's to say: this one's snapshot
 * is older than the writer it may have waited for, who looks as if neither there nor not there.
 */
export const STORE: Statement = {
  name: 'store_metadata_records',
  text: `
with input as (
  select i.*, greatest(i.produced_at, p.ordered_at) as ordered_at,
         coalesce(i.window_end, greatest(i.produced_at, p.ordered_at)) as effective_at,
         i.revision = 0 or p.record_id is not null as due
    from rows from (
           unnest($1::int[], $2::uuid[], $3::int[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $8::text[],
                  $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::text[],
                  $15::text[], $16::text[], $17::text[], $18::text[]),
           jsonb_array_elements($19::jsonb))
           as i (tenant_no, key, revision, content, record_id, target_no, kind, scope, produced_at, window_start,
                 window_end, kind_version, producer_id, job_id, run_id, outcome, quality, facets, body)
    left join lateral (
      select k.record_id, k.ordered_at from metadata.record_key k
       where i.revision > 0 and k.tenant_no = i.tenant_no and k.key = i.key and k.revision = i.revision - 1
       limit 1) p on true
), fresh as (
  insert into metadata.record_key (tenant_no, key, revision, content, record_id, ordered_at)
  select tenant_no, key, revision, content, record_id, ordered_at from input where due
   order by tenant_no, key, revision
  on conflict do nothing
  returning record_id
), stored as (
  insert into metadata.record (record_id, tenant_no, target_no, kind, scope, effective_at, ordered_at, revision,
         kind_version, producer_id, job_id, run_id, window_start, window_end, outcome, quality, produced_at, facets, body)
  select record_id, tenant_no, target_no, kind, scope, effective_at, ordered_at, revision, kind_version, producer_id,
         job_id, run_id, window_start, window_end, outcome, quality, produced_at,
         case when facets is not null then
           array(select tenant_no || '/' || kind || '/' || f from jsonb_array_elements_text(facets::jsonb) as f) end,
         body
    from input join fresh using (record_id)
  returning record_id, target_no, kind, scope, effective_at, ordered_at, revision
), moved as (
  insert into metadata.latest as l (target_no, kind, scope, effective_at, ordered_at, revision, record_id)
  select distinct on (target_no, kind, scope) target_no, kind, scope, effective_at, ordered_at, revision, record_id
    from stored
   order by target_no, kind, scope, effective_at desc, ordered_at desc, revision desc, record_id desc
  on conflict (target_no, kind, scope) do update
     set effective_at = excluded.effective_at, ordered_at = excluded.ordered_at, revision = excluded.revision,
         record_id = excluded.record_id, change_no = l.change_no + 1
   where (excluded.effective_at, excluded.ordered_at, excluded.revision, excluded.record_id)
       > (l.effective_at, l.ordered_at, l.revision, l.record_id)
)
select record_id as "recordId" from stored`,
}

/** For what was not stored, with a snapshot of its own. No row of record_key: the revision before is missing. */
export const TELL_APART: Statement = {
  name: 'tell_replay_from_conflict',
  text: `
select q.n, k.content = q.content as same, k.record_id as "recordId"
  from unnest($1::int[], $2::int[], $3::uuid[], $4::int[], $5::uuid[]) as q (n, tenant_no, key, revision, content)
 cross join lateral (
   select content, record_id from metadata.record_key k
    where k.tenant_no = q.tenant_no and k.key = q.key and k.revision = q.revision
    limit 1) k`,
}

// Of one fingerprint there is one text: whoever brings it, and however often.
export const STORE_SCHEMAS: Statement = {
  name: 'store_schema_bodies',
  text: `
insert into metadata.schema_body (tenant_no, fingerprint, body)
select distinct on (tenant_no, fingerprint) tenant_no, fingerprint, body::jsonb
  from unnest($1::int[], $2::text[], $3::text[]) as s (tenant_no, fingerprint, body)
 order by tenant_no, fingerprint
on conflict do nothing`,
}

// What two records of a run say alike is one link.
export const STORE_LINKS: Statement = {
  name: 'store_metadata_links',
  text: `
insert into metadata.link (tenant_no, run_id, rel, target_no, other_run_id, record_id)
select tenant_no, run_id, rel, target_no, other_run_id, record_id
  from unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::uuid[])
         as l (tenant_no, run_id, rel, target_no, other_run_id, record_id)
 order by tenant_no, run_id collate "C", rel, coalesce(target_no, 0), coalesce(other_run_id collate "C", ''), record_id
on conflict do nothing`,
}
