-- For ten thousand streams: what the sweep and the status ask every minute reads no more than it answers.

-- Of a backfill's planned windows the sweep sends no hints, and there may be a million of them: they come first in the
-- order of an index that has them.
drop index provenance.source_ingest_due;
create index source_ingest_due on provenance.source_ingest (queued_at nulls first)
  where state in ('planned', 'landed') and not (state = 'planned' and lane = 'backfill');

-- The status counts the ingests of each state: from an index of states, a fortieth of the table.
create index source_ingest_by_state on provenance.source_ingest (state);
