-- Ingestion state, provenance and operations. PostgreSQL 14 to 18, no extension.

create schema ingest;
create schema provenance;
create schema curated;
create schema if not exists ops; -- the migrations themselves are recorded there

-- The unit of checkpointing: one source x dataset x parameters. Coverage is kept as multiranges that add and subtract
-- in place; the checkpoint is derived from them and stored nowhere.
create table ingest.stream (
  stream_id bigint generated always as identity primary key,
  source text not null,
  dataset text not null,
  params jsonb not null,
  params_key text not null,
  subject text not null,
  timeframe text,
  curated_root text not null unique,
  origin timestamptz not null,
  until timestamptz,
  history text not null default 'live' check (history in ('live', 'backfill')),
  managed_by text not null default 'file' check (managed_by in ('file', 'import')),
  interval_s int,
  granularity_s int not null,
  max_window_s int not null,
  settle_lag_s int not null,
  freshness_sla_s int,
  next_plan_at timestamptz,
  planned_until timestamptz,
  paused boolean not null default false,
  paused_reason text,
  held_reason text,
  fetched tstzmultirange not null default '{}',
  published tstzmultirange not null default '{}',
  accepted tstzmultirange not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (source, dataset, params_key),
  check (until is null or origin < until),
  check (not paused or paused_reason is not null)
);

-- One run of one job for one stream over one window. Its row is the outbox of the queues and the only truth about it.
create table provenance.source_ingest (
  source_ingest_id uuid primary key,
  stream_id bigint not null references ingest.stream,
  lane text not null check (lane in ('live', 'lookback', 'backfill', 'import', 'reprocess')),
  lo timestamptz,
  hi timestamptz,
  state text not null default 'planned' check (state in
    ('planned', 'landing', 'landed', 'curating', 'published', 'empty', 'failed', 'quarantined', 'cancelled')),
  epoch int not null default 0,
  landed_epoch int,
  claimed_by text,
  lease_expires_at timestamptz,
  attempts int not null default 0,
  -- Of the first attempt since the last durable state: quarantine asks for many attempts over a long time.
  attempting_since timestamptz,
  next_attempt_at timestamptz,
  queued_at timestamptz,
  parameters jsonb not null,
  checkpoint_before timestamptz,
  checkpoint_after timestamptz,
  initiated_by text not null,
  backfill_id uuid,
  partition_key text,
  split_of uuid references provenance.source_ingest,
  pipeline_run_id uuid,
  pages int,
  body_bytes bigint,
  records bigint,
  inserted bigint,
  updated bigint,
  unchanged bigint,
  superseded bigint,
  rejected bigint,
  outside bigint,
  transform_version int,
  error_class text,
  error_summary text,
  planned_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  superseded_by uuid references provenance.source_ingest,
  withdrawn_at timestamptz,
  check ((lo is null) = (hi is null) and (lo is null or lo < hi)),
  constraint source_ingest_active_windows_disjoint exclude using gist (
    int8range(stream_id, stream_id, '[]') with =, tstzrange(lo, hi) with &&
  ) where (state in ('planned', 'landing', 'landed', 'curating') and lo is not null)
);
create index source_ingest_by_stream on provenance.source_ingest (stream_id, planned_at desc);
-- What the planner leaves out and status shows: active ingests, and holes that wait for a person.
create index source_ingest_unfinished on provenance.source_ingest (stream_id)
  where state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined');
create index source_ingest_due on provenance.source_ingest (queued_at nulls first)
  where state in ('planned', 'landed');
create index source_ingest_leases on provenance.source_ingest (lease_expires_at)
  where state in ('landing', 'curating');

-- One provider answer of one attempt. Written after its blob, so a row without a blob is damage, not a crash.
create table provenance.raw_page (
  source_ingest_id uuid not null references provenance.source_ingest,
  epoch int not null,
  page_no int not null,
  path text not null unique,
  sha256 text not null,
  stored_bytes bigint not null,
  body_bytes bigint not null,
  -- Null: the answer was kept although it was no page of this source. Such an attempt never lands.
  record_count int,
  http_status int not null,
  observed_at timestamptz not null,
  fetched_at timestamptz not null default now(),
  request_fingerprint text not null,
  -- Of the token this page was asked with (null: the first), and of the token it names for the next.
  token_sha256 text,
  next_token_sha256 text,
  is_last boolean not null,
  primary key (source_ingest_id, epoch, page_no)
);

create table provenance.reject (
  reject_id bigint generated always as identity primary key,
  source_ingest_id uuid not null references provenance.source_ingest,
  page_no int not null,
  ordinal int not null,
  code text not null,
  detail text not null,
  record jsonb,
  state text not null default 'open' check (state in ('open', 'replayed', 'waived')),
  created_at timestamptz not null default now(),
  unique (source_ingest_id, page_no, ordinal)
);
create index reject_open on provenance.reject (source_ingest_id) where state = 'open';

-- The newest published file of a partition.
create table curated.partition (
  dataset text not null,
  partition_key text not null,
  stream_id bigint not null references ingest.stream,
  path text not null,
  blob_version bigint not null,
  etag text not null,
  sha256 text not null,
  content_sha256 text not null,
  rows bigint not null,
  bytes bigint not null,
  min_ts timestamptz,
  max_ts timestamptz,
  transform_version int not null,
  contract_version int not null,
  source_ingest_id uuid not null references provenance.source_ingest,
  updated_at timestamptz not null default now(),
  primary key (dataset, partition_key)
);
create index partition_by_stream on curated.partition (stream_id);

-- Whose rows may be in a partition, and what they did there. Written before the file is, so it never lags behind it.
create table curated.partition_ingest (
  dataset text not null,
  partition_key text not null,
  source_ingest_id uuid not null references provenance.source_ingest,
  landed_epoch int not null,
  transform_version int not null,
  inserted bigint not null,
  updated bigint not null,
  unchanged bigint not null,
  superseded bigint not null,
  primary key (dataset, partition_key, source_ingest_id)
);
create index partition_ingest_by_ingest on curated.partition_ingest (source_ingest_id);

-- Tokens of one provider credential, shared by every instance.
create table ingest.rate_budget (
  budget_key text primary key,
  capacity double precision not null,
  refill_per_s double precision not null,
  tokens double precision not null,
  refilled_at timestamptz not null default now(),
  blocked_until timestamptz
);

create table ops.pipeline_runs (
  run_id uuid primary key,
  job text not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  status text not null default 'running' check (status in ('running', 'success', 'failure')),
  error_summary text
);
create index pipeline_runs_by_job on ops.pipeline_runs (job, started_at desc);

create table ops.alert (
  alert_id bigint generated always as identity primary key,
  kind text not null,
  severity text not null check (severity in ('warning', 'critical')),
  subject text not null,
  opened_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  closed_at timestamptz,
  -- Told to people (log event, webhook): the row is the outbox.
  opened_told_at timestamptz,
  closed_told_at timestamptz,
  detail jsonb not null default '{}'
);
-- Opened once, closed once.
create unique index alert_open on ops.alert (kind, subject) where closed_at is null;
create index alert_untold on ops.alert (alert_id)
  where opened_told_at is null or (closed_at is not null and closed_told_at is null);

create table ops.audit (
  audit_id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  subject text not null,
  before jsonb,
  after jsonb
);

-- End of the contiguous coverage from the origin; the origin itself while nothing is covered there.
create function ingest.checkpoint(origin timestamptz, covered tstzmultirange) returns timestamptz
  language sql immutable parallel safe
  return coalesce((select upper(r) from unnest(covered) as r where r @> origin), origin);

-- ADR-002's state per instrument and timeframe. Failed: what failed lies beyond what is published; behind it, it is a
-- hole, and the stream is partial.
create view ingest.state as
select s.subject as instrument_id,
       s.timeframe,
       ingest.checkpoint(s.origin, s.published + s.accepted) as last_ts,
       case
         when failed.source_ingest_id is not null then 'failed'
         when isempty(s.published)
           or not (s.published + s.accepted) @> tstzrange(s.origin, upper(s.published))
           or exists (select from provenance.reject r
                        join provenance.source_ingest i using (source_ingest_id)
                       where i.stream_id = s.stream_id and r.state = 'open')
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
