-- Files as ingests, and the rebuilds that follow when one takes another's place.

-- A file version is one ingest; the version is counted in the transaction that plans it, under the stream's lock.
create unique index source_ingest_file_version
  on provenance.source_ingest (stream_id, (parameters ->> 'name'), ((parameters ->> 'version')::int))
  where lane = 'import' and lo is null;

alter table provenance.source_ingest
  -- A rebuild planned because an ingest of the partition was superseded or withdrawn: until it is published the file
  -- may hold rows of the one left out.
  add column by_mark boolean not null default false,
  -- Of a rebuild: rows that are in the file no longer. Its other outcomes are added (inserted) and changed (updated).
  add column removed bigint,
  add check (not by_mark or lane = 'reprocess');

-- What `verify` asks of a partition: is a rebuild of it still to come?
create index source_ingest_rebuilds on provenance.source_ingest (stream_id, partition_key)
  where lane = 'reprocess' and state <> 'published';

-- A file is copied, not answered.
alter table provenance.raw_page alter column http_status drop not null;

-- Rejects of what was superseded or withdrawn are nobody's to mend.
create or replace view ingest.state as
select s.subject as instrument_id,
       s.timeframe,
       ingest.checkpoint(s.origin, s.published + s.accepted) as last_ts,
       case
         when failed.source_ingest_id is not null then 'failed'
         when isempty(s.published)
           or not (s.published + s.accepted) @> tstzrange(s.origin, upper(s.published))
           or exists (select from provenance.reject r
                        join provenance.source_ingest i using (source_ingest_id)
                       where i.stream_id = s.stream_id and r.state = 'open'
                         and i.superseded_by is null and i.withdrawn_at is null)
           then 'partial'
         else 'success'
       end as status,
       greatest(s.updated_at, newest.changed_at) as updated_at,
       case
         when failed.source_ingest_id is not null then failed.error_summary
         when s.paused then 'paused: ' || s.paused_reason
         when s.held_reason is not null then 'held: ' || s.held_reason
         when isempty(s.published) then 'nothing published yet'
       end as message
  from ingest.stream s
  left join lateral (
    select i.source_ingest_id, i.error_summary
      from provenance.source_ingest i
     where i.stream_id = s.stream_id and i.state in ('failed', 'quarantined') and i.lane <> 'reprocess'
       and i.superseded_by is null and i.withdrawn_at is null
       and (i.lo is null or (not (s.published + s.accepted) @> tstzrange(i.lo, i.hi)
                             and i.hi > coalesce(upper(s.published), '-infinity')))
     order by i.hi desc nulls last, i.planned_at desc
     limit 1
  ) failed on true
  left join lateral (
    select coalesce(i.finished_at, i.started_at, i.planned_at) as changed_at
      from provenance.source_ingest i
     where i.stream_id = s.stream_id and i.state <> 'cancelled'
     order by i.planned_at desc
     limit 1
  ) newest on true;
