import { goneOf } from '../ingest/plan/retention.ts'
import type { Queryable, Statement } from '../postgres/database.ts'

/** Alerts that follow from the state in Postgres: opened while it holds, closed when it no longer does. */
const STANDING_KINDS = [
  'quarantine',
  'failed_ingest',
  'auth',
  'freshness',
  'no_publish',
  'hole',
  'gap_unrecoverable',
  'rejects',
  'failed_run',
  'failed_backfill',
]

// As everywhere else: jsonb's own spelling has an offset.
const rfc3339 = (instant: string) => `to_char(${instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`

const HOLE_HOURS = 24
const INTERVALS_WITHOUT_PUBLISH = 3
/** Ranges named in the detail of one alert. */
const RANGES_MAX = 20

const RECONCILE: Statement = {
  name: 'reconcile_standing_alerts',
  text: `
with stream as (
  select s.*, concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as name,
         s.published + s.accepted as done, coalesce(upper(s.published), s.origin) as head,
         s.interval_s is not null and not s.paused and (s.until is null or coalesce(upper(s.published), s.origin) < s.until) as live
    from ingest.stream s
), unfinished as (
  select s.name, i.state, i.source_ingest_id, i.error_summary, i.planned_at
    from provenance.source_ingest i join stream s using (stream_id)
   where i.state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined')
     and i.lo is not null and not s.done @> tstzrange(i.lo, i.hi)
), failing as (
  select name, state, source_ingest_id, error_summary from unfinished where state in ('failed', 'quarantined')
  union
  -- Its window is published already, and stays unread until a later ingest has read all of it.
  select s.name, i.state, i.source_ingest_id, i.error_summary
    from provenance.source_ingest i join stream s using (stream_id)
   where i.lane = 'lookback' and i.state in ('failed', 'quarantined')
     and not s.accepted + coalesce((select range_agg(tstzrange(later.lo, later.hi))
                                      from provenance.source_ingest later
                                     where later.stream_id = i.stream_id and later.planned_at > i.planned_at
                                       and later.state in ('published', 'empty')
                                       and tstzrange(later.lo, later.hi) && tstzrange(i.lo, i.hi) and later.lo is not null), '{}')
         @> tstzrange(i.lo, i.hi)
  union
  -- A file waits for other content or for a person, a rebuild for a person or a later rebuild.
  select s.name, i.state, i.source_ingest_id, i.error_summary
    from provenance.source_ingest i join stream s using (stream_id)
   where i.lo is null and i.state in ('failed', 'quarantined') and i.superseded_by is null and i.withdrawn_at is null
     and not exists (select from provenance.source_ingest later
                      where later.stream_id = i.stream_id and later.partition_key = i.partition_key
                        and later.lane = 'reprocess' and later.state = 'published' and later.planned_at > i.planned_at)
), gone as (
  select s.name, s.retention_s,
         ${goneOf('s')} - s.fetched - s.accepted
         - coalesce((select range_agg(tstzrange(i.lo, i.hi))
                       from provenance.source_ingest i
                      where i.stream_id = s.stream_id and i.lo is not null
                        and i.state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined')), '{}') as ranges
    from stream s
   where s.retention_s is not null
), desired as (
  select case state when 'failed' then 'failed_ingest' else 'quarantine' end as kind, 'critical' as severity,
         name as subject, jsonb_build_object('ingests', count(*), 'source_ingest_id', max(source_ingest_id::text),
                                             'error', max(error_summary)) as detail
    from failing group by state, name
  union all
  select 'failed_backfill', 'warning', b.backfill_id::text, jsonb_build_object('windows', count(*), 'requested_by', b.requested_by)
    from failing f
    join provenance.source_ingest i using (source_ingest_id)
    join ingest.backfill b using (backfill_id)
   where b.state = 'finished' group by b.backfill_id
  union all
  select 'hole', 'warning', name, jsonb_build_object('windows', count(*), 'since', ${rfc3339('min(planned_at)')})
    from unfinished where planned_at < now() - interval '${HOLE_HOURS} hours' group by name
  union all
  select 'gap_unrecoverable', 'critical', name,
         jsonb_build_object('retention_seconds', retention_s, 'ranges',
           (select jsonb_agg(jsonb_build_object('lo', ${rfc3339('lower(r)')}, 'hi', ${rfc3339('upper(r)')}) order by r)
              from (select r from unnest(ranges) as r order by r limit ${RANGES_MAX}) first))
    from gone where not isempty(ranges)
  union all
  select 'auth', 'critical', name, jsonb_build_object('reason', paused_reason)
    from stream where paused and paused_reason like 'auth:%'
  union all
  select 'freshness', 'warning', name, jsonb_build_object('head', ${rfc3339('head')}, 'sla_seconds', freshness_sla_s)
    from stream where live and now() - head > make_interval(secs => freshness_sla_s)
  union all
  select 'no_publish', 'warning', name, jsonb_build_object('head', ${rfc3339('head')})
    from stream
   where live and now() - head > make_interval(secs => settle_lag_s + granularity_s + ${INTERVALS_WITHOUT_PUBLISH} * interval_s)
     and now() - created_at > make_interval(secs => ${INTERVALS_WITHOUT_PUBLISH} * interval_s)
  union all
  select 'rejects', 'warning', s.name, jsonb_build_object('open', count(*))
    from provenance.reject r join provenance.source_ingest i using (source_ingest_id) join stream s using (stream_id)
   where r.state = 'open' and i.superseded_by is null and i.withdrawn_at is null group by s.name
  union all
  select 'failed_run', 'critical', job, jsonb_build_object('run_id', run_id, 'error', error_summary)
    from (select distinct on (job) job, run_id, status, error_summary
            from ops.pipeline_runs where status <> 'running' order by job, started_at desc) newest
   where status = 'failure'
), opened as (
  insert into ops.alert (kind, severity, subject, detail)
  select kind, severity, subject, detail from desired
  on conflict (kind, subject) where closed_at is null do update set last_seen_at = now(), detail = excluded.detail
  returning 1
)
update ops.alert a set closed_at = now()
 where a.closed_at is null and a.kind = any($1::text[])
   and not exists (select from desired d where (d.kind, d.subject) = (a.kind, a.subject))`,
}

// Nobody closes what has no state behind it: a day without another such message does.
const CLOSE_QUIET: Statement = {
  name: 'close_quiet_message_alerts',
  text: `
update ops.alert set closed_at = now()
 where closed_at is null and kind in ('bad_message', 'poison_message') and last_seen_at < now() - interval '1 day'`,
}

// Whoever publishes a partition has read the file it replaced: a damaged one was made again from raw.
const CLOSE_MENDED: Statement = {
  name: 'close_mended_file_alerts',
  text: `
update ops.alert a set closed_at = now()
  from curated.partition p
 where a.closed_at is null and a.kind = 'curated_file' and p.path = a.subject and p.updated_at > a.last_seen_at`,
}

export async function reconcileAlerts(db: Queryable): Promise<void> {
  await db.query(RECONCILE, [STANDING_KINDS])
  await db.query(CLOSE_MENDED)
  await db.query(CLOSE_QUIET)
}
