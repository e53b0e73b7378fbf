import type { Statement } from '../../postgres/database.ts'

const COLUMNS = `
  kind, major, minor, state, behaviour, encode(schema_sha256, 'hex') as "schemaSha256", created_by as "createdBy",
  published_at as "publishedAt", sunset_at as "sunsetAt"`

export const LIST_KIND_VERSIONS: Statement = {
  name: 'list_metadata_kind_versions',
  text: `select ${COLUMNS} from metadata.kind_version order by kind, major, minor`,
}

export const KIND_VERSIONS: Statement = {
  name: 'metadata_kind_versions',
  text: `select ${COLUMNS}, schema from metadata.kind_version where kind = $1::text order by major, minor`,
}

// Apart from the list, so that a reload brings only schemas that were not there before.
export const KIND_SCHEMAS: Statement = {
  name: 'metadata_kind_schemas',
  text: `
select v.kind, v.major, v.minor, v.schema
  from unnest($1::text[], $2::int[], $3::int[]) as w (kind, major, minor)
  join metadata.kind_version v using (kind, major, minor)`,
}

// Of the whole table: registering is rare, and who registers is to see what was published before. Readers do not wait.
export const LOCK_KINDS: Statement = {
  name: 'lock_metadata_kinds',
  text: `lock table metadata.kind_version in share row exclusive mode`,
}

// The clock, not now(): a transaction that waited for the lock began before what it waited for. The lock keeps others
// from publishing in between; what is published stays as it is even if somebody came without it.
export const WRITE_KIND_VERSION: Statement = {
  name: 'write_metadata_kind_version',
  text: `
insert into metadata.kind_version as v
       (kind, major, minor, schema, schema_sha256, behaviour, state, created_by, published_at)
values ($1::text, $2::int, $3::int, $4::jsonb, decode($5::text, 'hex'), $6::jsonb, $7::text, $8::text,
        case when $7::text = 'published' then clock_timestamp() end)
on conflict (kind, major, minor) do update
   set schema = excluded.schema, schema_sha256 = excluded.schema_sha256, behaviour = excluded.behaviour,
       state = excluded.state, created_by = excluded.created_by, published_at = excluded.published_at
 where v.state = 'draft'
returning ${COLUMNS}, schema`,
}

export const PUBLISH_KIND_VERSION: Statement = {
  name: 'publish_metadata_kind_version',
  text: `
update metadata.kind_version set state = 'published', published_at = clock_timestamp()
 where kind = $1::text and major = $2::int and minor = $3::int and state = 'draft'
returning ${COLUMNS}, schema`,
}

export const DEPRECATE_KIND_VERSION: Statement = {
  name: 'deprecate_metadata_kind_version',
  text: `
update metadata.kind_version set state = 'deprecated', sunset_at = $4::timestamptz
 where kind = $1::text and major = $2::int and minor = $3::int and state <> 'draft'
returning ${COLUMNS}, schema`,
}

export type KindVersionListed = {
  readonly kind: string
  readonly major: number
  readonly minor: number
  readonly state: 'draft' | 'published' | 'deprecated'
  readonly behaviour: unknown
  readonly schemaSha256: string
  readonly createdBy: string
  readonly publishedAt: bigint | null
  readonly sunsetAt: bigint | null
}

export type KindVersionRow = KindVersionListed & { readonly schema: unknown }

export const COUNT_OTHER_KINDS: Statement = {
  name: 'count_other_metadata_kinds',
  text: `select count(distinct kind) as kinds from metadata.kind_version where kind <> $1::text`,
}
