-- The metadata platform: facts about targets, what was ever stored by key, the latest of each series, and the outbox of
-- those who have a transaction. Nothing leaves this schema, so that it can live in another database.

create schema metadata;

create table metadata.tenant (
  tenant_no int generated always as identity primary key,
  tenant text not null unique check (tenant ~ '^[a-z][a-z0-9-]{0,62}$')
);

create table metadata.target (
  target_no bigint generated always as identity primary key,
  tenant_no int not null references metadata.tenant,
  source_id text not null,
  schema_name text not null,
  table_name text not null,
  extras jsonb not null default '{}',
  unique (tenant_no, source_id, schema_name, table_name)
);

-- What has ever been stored, by key. Outlives the record, so that a repeat after years is still a replay.
create table metadata.record_key (
  tenant_no int not null,
  key uuid not null,
  revision int not null check (revision >= 0),
  content uuid not null,
  record_id uuid not null,
  ordered_at timestamptz not null,
  primary key (tenant_no, key, revision)
);

-- Not partitioned: hot rows are 90 days of a few kinds, and a unique index over partitions would have to contain their key.
create table metadata.record (
  -- UUIDv7, given by the store at the first delivery.
  record_id uuid primary key,
  tenant_no int not null,
  target_no bigint not null,
  kind text collate "C" not null,
  scope text collate "C" not null default '',
  -- Window end, else ordered_at.
  effective_at timestamptz not null,
  -- produced_at, never before that of the revision before.
  ordered_at timestamptz not null,
  revision int not null default 0,
  kind_version text not null,
  producer_id text not null,
  job_id text,
  run_id text collate "C",
  window_start timestamptz,
  window_end timestamptz,
  outcome text collate "C",
  quality text not null check (quality in ('live', 'backfilled', 'estimated')),
  produced_at timestamptz not null,
  stored_at timestamptz not null default now(),
  xid xid8 not null default pg_current_xact_id(),
  seq bigint not null generated always as identity,
  -- '<tenant_no>/<kind>/<name>=<value>' of the extras that a kind declares.
  facets text[],
  -- Payload, extras, context, links; the columns of a schema snapshot are in schema_body.
  body jsonb not null,
  check (window_start is null or window_start < window_end)
);
create index record_history on metadata.record (target_no, kind, scope, effective_at desc, ordered_at desc, record_id desc);
create index record_kind on metadata.record (tenant_no, kind, effective_at desc, record_id desc);
create index record_run on metadata.record (tenant_no, run_id, record_id) where run_id is not null;
create index record_bad on metadata.record (tenant_no, kind, outcome, effective_at desc, record_id desc)
  where outcome <> 'pass';
create index record_feed on metadata.record (xid, seq);
create index record_facets on metadata.record using gin (facets) where facets is not null;
create index record_stored on metadata.record using brin (stored_at) with (pages_per_range = 32, autosummarize = on);
alter table metadata.record set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create table metadata.latest (
  target_no bigint not null,
  kind text collate "C" not null,
  scope text collate "C" not null,
  effective_at timestamptz not null,
  ordered_at timestamptz not null,
  revision int not null,
  record_id uuid not null,
  change_no bigint not null default 1,
  primary key (target_no, kind, scope)
) with (fillfactor = 80);

create table metadata.schema_body (
  tenant_no int not null,
  fingerprint text collate "C" not null,
  body jsonb not null,
  primary key (tenant_no, fingerprint)
);

-- Lineage: a run's inputs and outputs, baselines, parents.
create table metadata.link (
  tenant_no int not null,
  run_id text collate "C" not null,
  rel text not null check (rel in ('input', 'output', 'baseline', 'parent')),
  target_no bigint,
  other_run_id text collate "C",
  record_id uuid not null,
  check ((target_no is null) <> (other_run_id is null))
);
create unique index link_run on metadata.link (tenant_no, run_id, rel, coalesce(target_no, 0), coalesce(other_run_id, ''));
create index link_target on metadata.link (target_no, rel, run_id) where target_no is not null;
create index link_other on metadata.link (tenant_no, other_run_id) where other_run_id is not null;

-- In the producers' database. The record is text: a bad character cannot fail a publish.
create table metadata.outbox (
  outbox_id bigint generated always as identity primary key,
  -- Null: the tenant of this deployment.
  tenant text,
  record text not null,
  attempts int not null default 0,
  due_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index outbox_due on metadata.outbox (due_at, outbox_id);

create table metadata.reject (
  reject_id bigint generated always as identity primary key,
  tenant text not null,
  code text not null,
  detail jsonb not null,
  record text not null,
  state text not null default 'open' check (state in ('open', 'replayed', 'waived')),
  created_at timestamptz not null default now()
);
-- A producer that repeats what is refused is told of once.
create unique index reject_open on metadata.reject (tenant, code, md5(record)) where state = 'open';

-- Of the feed: who follows what was stored, and how far.
create table metadata.consumer (
  consumer text primary key,
  tenant_no int,
  generation uuid not null,
  xid xid8 not null,
  seq bigint not null,
  epoch int not null default 0,
  lease_expires_at timestamptz,
  updated_at timestamptz not null default now()
);

-- One row: positions of another generation are of a database that was restored since.
create table metadata.feed (
  generation uuid not null default gen_random_uuid(),
  started_at timestamptz not null default now()
);
insert into metadata.feed default values;
