import { ConfigError } from '../../errors.ts'
import { formatInstant } from '../../instant.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { StreamDefinition } from './stream-file.ts'

/** Why a stream of the file is paused when the file no longer names it; listing it again resumes it. */
export const NOT_LISTED = 'no longer listed in the streams file'

const CONFLICTS: Statement = {
  name: 'conflicting_streams',
  text: `
select s.curated_root as "curatedRoot", s.params_key as "paramsKey"
  from jsonb_to_recordset($1::jsonb) as f (source text, dataset text, params_key text, curated_root text)
  join ingest.stream s on s.curated_root = f.curated_root
 where (s.source, s.dataset, s.params_key) is distinct from (f.source, f.dataset, f.params_key)`,
}

// In key order, like every statement that locks streams. Unchanged streams are not written.
const APPLY: Statement = {
  name: 'apply_streams',
  text: `
insert into ingest.stream as s (source, dataset, params, params_key, subject, timeframe, curated_root, origin, until,
       history, interval_s, granularity_s, max_window_s, settle_lag_s, freshness_sla_s,
       lookback_s, lookback_every_s, retention_s, metadata_required)
select f.source, f.dataset, f.params_key::jsonb, f.params_key, subject, timeframe, curated_root, origin, until,
       history, interval_s, granularity_s, max_window_s, settle_lag_s, freshness_sla_s,
       lookback_s, lookback_every_s, retention_s, metadata_required
  from jsonb_to_recordset($1::jsonb) as f (source text, dataset text, params_key text, subject text, timeframe text,
       curated_root text, origin timestamptz, until timestamptz, history text, interval_s int, granularity_s int,
       max_window_s int, settle_lag_s int, freshness_sla_s int, lookback_s int, lookback_every_s int, retention_s int,
       metadata_required boolean)
 order by f.source, f.dataset, f.params_key
on conflict (source, dataset, params_key) do update
   set origin = excluded.origin, until = excluded.until, history = excluded.history,
       interval_s = excluded.interval_s, granularity_s = excluded.granularity_s, max_window_s = excluded.max_window_s,
       settle_lag_s = excluded.settle_lag_s, freshness_sla_s = excluded.freshness_sla_s,
       lookback_s = excluded.lookback_s, lookback_every_s = excluded.lookback_every_s, retention_s = excluded.retention_s,
       metadata_required = excluded.metadata_required,
       next_lookback_at = case when (s.lookback_s, s.lookback_every_s) = (excluded.lookback_s, excluded.lookback_every_s)
                               then s.next_lookback_at end,
       paused = s.paused and s.paused_reason <> $2::text,
       paused_reason = nullif(s.paused_reason, $2::text),
       next_plan_at = null, updated_at = now()
 where (s.origin, s.until, s.history, s.interval_s, s.granularity_s, s.max_window_s, s.settle_lag_s, s.freshness_sla_s,
        s.lookback_s, s.lookback_every_s, s.retention_s, s.metadata_required)
       is distinct from
       (excluded.origin, excluded.until, excluded.history, excluded.interval_s, excluded.granularity_s,
        excluded.max_window_s, excluded.settle_lag_s, excluded.freshness_sla_s,
        excluded.lookback_s, excluded.lookback_every_s, excluded.retention_s, excluded.metadata_required)
    or s.paused_reason = $2::text
returning s.stream_id as "streamId"`,
}

const PAUSE_UNLISTED: Statement = {
  name: 'pause_unlisted_streams',
  text: `
update ingest.stream s
   set paused = true, paused_reason = $2::text, updated_at = now()
 where s.managed_by = 'file' and not s.paused
   and not exists (select from jsonb_to_recordset($1::jsonb) as f (source text, dataset text, params_key text)
                    where (f.source, f.dataset, f.params_key) = (s.source, s.dataset, s.params_key))
returning s.stream_id as "streamId"`,
}

/**
 * Makes the streams of the file those of the database: new and changed ones are written, those no longer listed are
 * paused, none is deleted. Throws ConfigError where a partition already belongs to another stream.
 */
export async function applyStreams(
  db: Database,
  streams: readonly StreamDefinition[],
): Promise<{ readonly written: number; readonly paused: number }> {
  return db.transaction((tx) => applyStreamsIn(tx, streams))
}

/** The same in a transaction of the caller. */
export async function applyStreamsIn(
  tx: Queryable,
  streams: readonly StreamDefinition[],
): Promise<{ readonly written: number; readonly paused: number }> {
  const json = JSON.stringify(streams.map(toRow))
  const conflicts = await tx.query<{ curatedRoot: string; paramsKey: string }>(CONFLICTS, [json])
  if (conflicts.length > 0) {
    throw new ConfigError(
      conflicts.map(
        ({ curatedRoot, paramsKey }) =>
          `streams file: expected partitions of its own, got ${curatedRoot}, which belongs to the stream ${paramsKey}; give the new stream another subject`,
      ),
    )
  }
  const written = await tx.query(APPLY, [json, NOT_LISTED])
  const paused = await tx.query(PAUSE_UNLISTED, [json, NOT_LISTED])
  return { written: written.length, paused: paused.length }
}

function toRow(stream: StreamDefinition) {
  return {
    source: stream.source,
    dataset: stream.dataset,
    params_key: stream.paramsKey,
    subject: stream.subject,
    timeframe: stream.timeframe,
    curated_root: stream.curatedRoot,
    origin: formatInstant(stream.origin),
    until: stream.until === null ? null : formatInstant(stream.until),
    history: stream.history,
    interval_s: stream.intervalS,
    granularity_s: stream.granularityS,
    max_window_s: stream.maxWindowS,
    settle_lag_s: stream.settleLagS,
    freshness_sla_s: stream.freshnessSlaS,
    lookback_s: stream.lookbackS,
    lookback_every_s: stream.lookbackEveryS,
    retention_s: stream.retentionS,
    metadata_required: stream.metadataRequired,
  }
}
