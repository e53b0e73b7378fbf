import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'

export type SignalTarget = {
  readonly tenant: string
  readonly sourceId: string
  readonly schema: string
  readonly table: string
}

/** What alerts are made of: the latest of a target, not what the feed said, which may be old. */
export type SignalState = {
  /** Of the targets asked about, from 1. */
  readonly n: number
  readonly diffAt: Instant | null
  readonly diffSeverity: string | null
  readonly diffFrom: string | null
  readonly diffTo: string | null
  readonly diffFingerprint: string | null
  readonly snapshotAt: Instant | null
  readonly snapshotFingerprint: string | null
  readonly guardAt: Instant | null
  readonly guardOutcome: string | null
  readonly guard: string | null
  readonly guardFingerprint: string | null
  readonly guardReasons: unknown
  /** The check that failed most often since it last passed, within a day. */
  readonly check: string | null
  readonly failures: number | null
}

/** Failed or broken results of one check of one target in a day that are too many. */
const FAILURES_MIN = 3

const latest = (kind: string, alias: string) => `
  left join lateral (
    select r.effective_at, r.outcome, r.body -> 'payload' as payload
      from metadata.latest l join metadata.record r using (record_id)
     where l.target_no = a.target_no and l.kind = '${kind}' and l.scope = ''
     limit 1) ${alias} on true`

// By when they were produced: an import of old results is no news. A producer's clock may be 5 minutes ahead.
const SIGNAL_STATE: Statement = {
  name: 'state_of_metadata_signals',
  text: `
with asked as (
  select w.n, g.target_no, g.tenant_no
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality
           as w (tenant, source_id, schema_name, table_name, n)
    join metadata.tenant n on n.tenant = w.tenant
    join metadata.target g
      on g.tenant_no = n.tenant_no and g.source_id = w.source_id and g.schema_name = w.schema_name
     and g.table_name = w.table_name
), recent as (
  select r.target_no, r.body #>> '{payload,check}' as "check", r.outcome,
         count(*) filter (where r.outcome = 'pass') over (
           partition by r.target_no, r.body #>> '{payload,check}'
           order by r.ordered_at desc, r.revision desc, r.record_id desc) as passes_since
    from metadata.record r
    join asked a using (target_no)
   where r.kind = 'recon_result' and r.tenant_no = a.tenant_no
     and r.stored_at > $5::timestamptz - interval '25 hours' and r.ordered_at > $5::timestamptz - interval '24 hours'
), failing as (
  select distinct on (target_no) target_no, "check", count(*) as failures
    from recent
   where passes_since = 0 and outcome in ('fail', 'error')
   group by target_no, "check"
  having count(*) >= ${FAILURES_MIN}
   order by target_no, failures desc, "check"
)
select a.n, d.effective_at as "diffAt", d.payload ->> 'severity' as "diffSeverity", d.payload ->> 'from' as "diffFrom",
       d.payload ->> 'to' as "diffTo", d.payload ->> 'fingerprint' as "diffFingerprint",
       s.effective_at as "snapshotAt", s.payload ->> 'fingerprint' as "snapshotFingerprint",
       g.effective_at as "guardAt", g.outcome as "guardOutcome", g.payload ->> 'guard' as guard,
       g.payload ->> 'fingerprint' as "guardFingerprint", g.payload -> 'reasons' as "guardReasons",
       x."check", x.failures
  from asked a ${latest('catalog_diff', 'd')} ${latest('schema_snapshot', 's')} ${latest('guard_decision', 'g')}
  left join failing x on x.target_no = a.target_no
 order by a.n`,
}

/** `now` is the database's. */
export function signalStates(
  db: Queryable,
  targets: readonly SignalTarget[],
  now: Instant,
): Promise<readonly SignalState[]> {
  return db.query<SignalState>(SIGNAL_STATE, [
    targets.map(({ tenant }) => tenant),
    targets.map(({ sourceId }) => sourceId),
    targets.map(({ schema }) => schema),
    targets.map(({ table }) => table),
    now,
  ])
}
