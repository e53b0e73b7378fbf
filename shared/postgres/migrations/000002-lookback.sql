-- The lane lookback reads again what a provider may still correct; retention says what it no longer keeps.

alter table ingest.stream
  -- How far behind the head is read again; 0: nothing is.
  add column lookback_s int not null default 0 check (lookback_s >= 0),
  add column lookback_every_s int not null default 86400 check (lookback_every_s > 0),
  -- Null: due.
  add column next_lookback_at timestamptz,
  -- Null: the provider keeps everything.
  add column retention_s int check (retention_s > 0);

-- Of lane lookback: the head of the stream when it was planned, where the next one begins to count back from.
alter table provenance.source_ingest add column planned_head timestamptz;

create index source_ingest_lookback on provenance.source_ingest (stream_id, planned_at desc)
  where lane = 'lookback';
