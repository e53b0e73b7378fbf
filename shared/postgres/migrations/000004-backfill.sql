-- A backfill: history that a person asked for, as rows of windows that any number of workers share.

create table ingest.backfill (
  backfill_id uuid primary key,
  -- As it was asked for: {"streams": [patterns]}.
  selector jsonb not null,
  -- Null: from the origin of each stream; up to where its lane live begins.
  lo timestamptz,
  hi timestamptz,
  -- Null: as many whole partitions as the largest window of the source holds.
  step text,
  newest_first boolean not null default false,
  again boolean not null default false,
  state text not null default 'active' check (state in ('active', 'paused', 'cancelled', 'finished')),
  -- Set: the queue land has its windows, and the sweep sends what was lost.
  enqueued_at timestamptz,
  requested_by text not null,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  check (lo < hi)
);
create index backfill_active on ingest.backfill (created_at) where state = 'active';

alter table provenance.source_ingest
  add constraint source_ingest_backfill foreign key (backfill_id) references ingest.backfill;

-- What a worker takes next, from either end.
create index source_ingest_backfill_planned on provenance.source_ingest (backfill_id, lo)
  where state = 'planned' and backfill_id is not null;
-- What is left, and how it went.
create index source_ingest_by_backfill on provenance.source_ingest (backfill_id, state)
  where backfill_id is not null;
