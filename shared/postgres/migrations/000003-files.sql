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
