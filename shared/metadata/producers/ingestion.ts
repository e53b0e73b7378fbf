import { ingestionRuntime } from '../model/kinds/ingestion-runtime.ts'
import { ingestionVolume } from '../model/kinds/ingestion-volume.ts'

export const INGESTION_PRODUCER = 'ingestion.v1'

/**
 * What a statement that ends ingests returns of the row `i` of `provenance.source_ingest`, in a CTE named `done`, so
 * that TELL_INGESTION can follow it. As it is after the update.
 */
export const ENDED_INGEST = `
         i.source_ingest_id, i.stream_id, i.lane, i.lo, i.hi, i.state, i.epoch, i.landed_epoch, i.partition_key,
         i.parameters, i.checkpoint_before, i.checkpoint_after, i.initiated_by, i.backfill_id, i.pipeline_run_id,
         i.pages, i.body_bytes, i.records, i.inserted, i.updated, i.unchanged, i.superseded, i.removed, i.rejected,
         i.outside, i.transform_version, i.error_class, i.error_summary, i.started_at, i.finished_at,
         i.expected_records, i.expected_schema`

const instant = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

// The window is what is told about, so a file and a rebuild have none. The key names an end: one run may fail, be
// replayed by a person, and be published in a later epoch.
const COMMON = `
             'producerId', '${INGESTION_PRODUCER}',
             'producedAt', ${instant('now()')},
             'target', t.target,
             'scope', case when d.lane = 'reprocess' then left(d.partition_key, 256) end,
             'window', case when d.lo is not null then
               jsonb_build_object('start', ${instant('d.lo')}, 'end', ${instant('d.hi')}) end,
             'context', jsonb_build_object('namespace', 'ingest', 'jobId', t.job, 'runId', d.source_ingest_id),
             'links', jsonb_build_object('outputs', jsonb_build_array(t.target))
               || case when t.parent is null then '{}' else jsonb_build_object('parent', t.parent) end`

const VOLUME = `
           jsonb_strip_nulls(jsonb_build_object(
             'kind', '${ingestionVolume.kind}', 'kindVersion', '1.0', ${COMMON},
             'extras', jsonb_build_object('lane', d.lane, 'initiatedBy', d.initiated_by,
               'expectedRecords', d.expected_records, 'expectedSchema', d.expected_schema)))
           || jsonb_build_object('payload', jsonb_strip_nulls(jsonb_build_object(
             'records', d.records, 'inserted', d.inserted, 'updated', d.updated, 'unchanged', d.unchanged,
             'superseded', d.superseded, 'rejected', d.rejected, 'outside', d.outside,
             'bytes', d.body_bytes, 'pages', d.pages,
             'files', (select count(*) from curated.partition_ingest p where p.source_ingest_id = d.source_ingest_id),
             'watermark', jsonb_build_object('before', ${instant('d.checkpoint_before')},
                                             'after', ${instant('d.checkpoint_after')})))
             || jsonb_build_object('filter', d.parameters))`

// A claim to land, and one to curate where the ingest went on from what had landed; a rebuild is claimed once.
const RETRIES = `greatest(d.epoch - case when d.epoch > d.landed_epoch then 2 else 1 end, 0)`

const RUNTIME = `
           jsonb_strip_nulls(jsonb_build_object(
             'kind', '${ingestionRuntime.kind}', 'kindVersion', '1.0', ${COMMON},
             'key', d.source_ingest_id || '/' || d.epoch,
             'outcome', case when d.state in ('published', 'empty') then 'pass' else 'fail' end,
             'extras', jsonb_build_object('lane', d.lane, 'initiatedBy', d.initiated_by,
               'rebuild', case when d.lane = 'reprocess' and d.state = 'published' then jsonb_build_object(
                 'inserted', d.inserted, 'updated', d.updated, 'unchanged', d.unchanged, 'removed', d.removed) end),
             'payload', jsonb_build_object(
               'state', d.state, 'startedAt', ${instant('d.started_at')}, 'finishedAt', ${instant('d.finished_at')},
               'durationMs', greatest(round(extract(epoch from d.finished_at - d.started_at) * 1000)::bigint, 0),
               'claims', d.epoch, 'retries', ${RETRIES}, 'transformVersion', d.transform_version,
               'error', case when d.error_class is not null then
                 jsonb_build_object('class', d.error_class, 'summary', nullif(d.error_summary, '')) end)))`

/**
 * SQL of a CTE that follows `done`: what its ingests have to tell goes to the outbox, in the statement that ends them,
 * without a round trip. Of published and empty ones their volume (a rebuild brings nothing: only its runtime), of these
 * and of failed and quarantined ones their runtime; of any other state nothing, so that a statement which may or may
 * not end an ingest can carry it too.
 *
 * It cannot fail of what is told: every text in it is stored already, and what the kinds refuse becomes a reject when
 * it is dispatched.
 */
export const TELL_INGESTION = `
  insert into metadata.outbox (record)
  select told.record::text
    from done d
    join ingest.stream s on s.stream_id = d.stream_id
    cross join lateral (
      select concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as job,
             jsonb_build_object('sourceId', s.source, 'schema', s.dataset,
                                'table', concat_ws('/', s.subject, s.timeframe)) as target,
             coalesce(d.backfill_id, d.pipeline_run_id) as parent
    ) t
    cross join lateral (
      select 1 as position, ${VOLUME} as record where d.state in ('published', 'empty') and d.lane <> 'reprocess'
      union all
      select 2, ${RUNTIME}
    ) told
   where d.state in ('published', 'empty', 'failed', 'quarantined')
   order by d.source_ingest_id, told.position`
