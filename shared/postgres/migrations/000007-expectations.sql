-- What metadata let the planner expect of a window, and streams that are not planned without it.

alter table provenance.source_ingest
  -- As many as the newest known volume of the stream would bring in such a window.
  add column expected_records bigint,
  -- Fingerprint of the schema that its curated files had.
  add column expected_schema text;

alter table ingest.stream add column metadata_required boolean not null default false;
