-- What stands around the stored facts: rollups and compacted files, imported history, governance, access.

-- Of one kind: records that were stored before this day (UTC) are in the compacted files.
create table metadata.compaction (
  kind text collate "C" primary key,
  below date not null,
  updated_at timestamptz not null default now()
);

create table metadata.compacted_file (
  kind text collate "C" not null,
  tenant_no int not null,
  stored_day date not null,
  path text not null,
  sha256 bytea not null,
  rows bigint not null,
  bytes bigint not null,
  min_effective_at timestamptz not null,
  max_effective_at timestamptz not null,
  -- Its records are in the order of their ids: where one of them is looked for.
  first_record_id uuid not null,
  last_record_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (kind, tenant_no, stored_day)
);

-- Who may do what only one may do at a time; whoever finds it expired takes it with the next epoch.
create table metadata.lease (
  lease text collate "C" primary key,
  epoch int not null,
  expires_at timestamptz not null
);

-- metric '': the facts themselves, counted with their outcomes; else a number of the payload that the kind rolls up.
create table metadata.rollup (
  target_no bigint not null,
  kind text collate "C" not null,
  scope text collate "C" not null,
  metric text collate "C" not null,
  grain text not null check (grain in ('day', 'month')),
  bucket date not null,
  n bigint not null,
  total double precision,
  min_value double precision,
  max_value double precision,
  outcomes jsonb not null default '{}',
  primary key (target_no, kind, scope, metric, grain, bucket)
);
-- All of a kind over time, in the order of buckets.
create index rollup_kind on metadata.rollup (kind, grain, bucket);

-- What artifacts of other systems tell of a run, by identities of their own: in any order, however often.
create table metadata.import_event (
  tenant_no int not null,
  run_key text collate "C" not null,
  event_key text collate "C" not null,
  event jsonb not null,
  source text not null,
  imported_at timestamptz not null default now(),
  primary key (tenant_no, run_key, event_key)
);

-- Kinds that others registered; those of the platform are in its code.
create table metadata.kind_version (
  kind text collate "C" not null check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  major int not null check (major > 0),
  minor int not null check (minor >= 0),
  -- Of the payload, JSON Schema 2020-12, as it was registered.
  schema jsonb not null,
  schema_sha256 bytea not null,
  -- Outcomes, hot days, rollups, facets: what the platform does with its records.
  behaviour jsonb not null default '{}',
  state text not null default 'draft' check (state in ('draft', 'published', 'deprecated')),
  created_by text not null,
  created_at timestamptz not null default now(),
  published_at timestamptz,
  sunset_at timestamptz,
  primary key (kind, major, minor)
);

create table metadata.token (
  token_id text collate "C" primary key check (token_id ~ '^[0-9A-Za-z]{16}$'),
  tenant_no int not null references metadata.tenant,
  secret_sha256 bytea not null,
  permissions text[] not null,
  -- Producer ids that it may write as.
  producers text[] not null default '{}',
  expires_at timestamptz not null,
  revoked_at timestamptz,
  replaced_by text references metadata.token,
  last_used_at timestamptz,
  created_by text not null,
  created_at timestamptz not null default now()
);

-- Whose an Entra identity is: without a row it is nobody's.
create table metadata.principal (
  issuer text not null,
  subject text not null,
  tenant_no int not null references metadata.tenant,
  producers text[] not null default '{}',
  created_at timestamptz not null default now(),
  primary key (issuer, subject)
);

-- Of a token, or of an address that guesses.
create table metadata.rate_budget (
  budget text collate "C" primary key,
  capacity int not null,
  refill_per_s real not null,
  tokens real not null,
  refilled_at timestamptz not null default now()
);

-- Retention: a page lies in the container `archive` from the one instant on, and no more in `raw` from the other.
alter table provenance.raw_page add column archived_at timestamptz, add column removed_at timestamptz;
