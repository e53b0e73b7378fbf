import { parseStreamFile } from '../../shared/ingest/plan/stream-file.ts'
import { applyStreams } from '../../shared/ingest/plan/streams.ts'
import { floorTo, formatInstant, MICROS_PER_SECOND, systemNow } from '../../shared/instant.ts'
import { ingestionRuntime } from '../../shared/metadata/model/kinds/ingestion-runtime.ts'
import { ingestionVolume } from '../../shared/metadata/model/kinds/ingestion-volume.ts'
import type { Database } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { SOURCES } from '../../shared/sources/registry.ts'
import { volume } from '../metadata/fact.ts'

export type Past = {
  readonly streams: number
  /** Hours that every stream has behind it, a window each. */
  readonly windows: number
  /** Facts of every stream: how many windows told their volume and their runtime. */
  readonly told: number
  /** Records that nobody has dispatched. */
  readonly outbox: number
  /** Windows that wait for the workers of a backfill. */
  readonly backfill: number
}

const HOUR = 3_600n * MICROS_PER_SECOND

/** The `streams.json` of streams that have `windows` hours behind them, and an hour that is due. */
export function streamFileOf({ streams, windows }: Past): string {
  const origin = formatInstant(floorTo(systemNow(), HOUR) - BigInt(windows + 3) * HOUR)
  const entries = Array.from({ length: streams }, (_, index) => ({
    source: 'alpaca',
    dataset: 'bars',
    params: { symbol: `S${index}`, timeframe: '1h' },
    origin,
    every: '15m',
    lookback: '3d',
    ...(index % 4 === 0 && { retention: '30d' }),
  }))
  return JSON.stringify({ streams: entries })
}

/**
 * Streams as they are after some time: nearly all of what is past is published, a window in a hundred is not, because it
 * failed or because it is under way. Analysed, so that plans are those of a database that runs.
 */
export async function makePast(db: Database, past: Past): Promise<void> {
  await applyStreams(db, parseStreamFile(streamFileOf(past), SOURCES))
  for (const text of statements(past)) {
    await db.query({ name: `past ${sha256Hex(text).slice(0, 16)}`, text })
  }
  const record = JSON.stringify(volume(0, { producerId: 'ingestion.v1' }))
  await db.query(OUTBOX, [record, past.outbox])
  for (const table of ['ingest', 'provenance', 'curated', 'ops', 'metadata'].map((schema) => `'${schema}'`)) {
    const tables = await db.query<{ name: string }>({
      name: `past tables ${table}`,
      text: `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = ${table}`,
    })
    // Vacuum also tells which pages need no look at the table.
    for (const { name } of tables) await db.query({ name: `vacuum ${name}`, text: `vacuum analyze ${name}` })
  }
}

/** Ids as UUIDv7 makes them: in the order of time. `n` and `s` are SQL. */
const idOf = (n: string, s: string, what: number) =>
  `(lpad(to_hex(${n}), 12, '0') || '7000800${what}' || lpad(to_hex(${s}), 12, '0'))::uuid`

/** The newest window of some is under way, one of some has failed. */
const stateOf = (last: number) => `
  case when n = ${last} and s.stream_id % 20 = 3 then 'planned' when n = ${last} and s.stream_id % 20 = 4 then 'landing'
       when n = ${last} and s.stream_id % 20 = 5 then 'landed' when n = ${last} and s.stream_id % 20 = 6 then 'curating'
       when n = ${last >> 1} and s.stream_id % 10 = 0 then 'failed'
       when n = ${last >> 1} and s.stream_id % 50 = 1 then 'quarantined'
       when n % 10 = 7 then 'empty' else 'published' end`

function statements(past: Past): readonly string[] {
  return [...ofStreams(past), ...ofOperations(), ...ofMetadata(past)]
}

function ofStreams({ windows, backfill }: Past): readonly string[] {
  const last = windows - 1
  return [
    `update ingest.stream s
        set created_at = s.origin, next_plan_at = now() - interval '1 minute', next_lookback_at = null,
            planned_until = s.origin + make_interval(hours => ${windows}),
            fetched = d.done, published = d.done
       from (select s.stream_id,
                    tstzmultirange(tstzrange(s.origin, s.origin + make_interval(hours =>
                      ${windows} - case when s.stream_id % 20 in (3, 4, 5, 6) then 1 else 0 end)))
                    - case when s.stream_id % 10 = 0 or s.stream_id % 50 = 1
                           then tstzmultirange(tstzrange(s.origin + make_interval(hours => ${last >> 1}),
                                                         s.origin + make_interval(hours => ${(last >> 1) + 1})))
                           else '{}' end as done
               from ingest.stream s) d
      where d.stream_id = s.stream_id`,
    `insert into provenance.source_ingest
            (source_ingest_id, stream_id, lane, lo, hi, planned_head, state, epoch, landed_epoch, attempts, parameters,
             initiated_by, queued_at, lease_expires_at, claimed_by, pages, body_bytes, records, inserted, updated,
             unchanged, superseded, rejected, outside, transform_version, planned_at, started_at, finished_at,
             error_class, error_summary)
     select ${idOf('n', 's.stream_id', 0)}, s.stream_id, case when n % 20 = 8 then 'lookback' else 'live' end,
            s.origin + make_interval(hours => n), s.origin + make_interval(hours => n + 1),
            s.origin + make_interval(hours => n), state, 2, 1, 1, s.params, 'plan-ingests', planned_at,
            case when state in ('landing', 'curating') then planned_at + interval '5 minutes' end,
            case when state in ('landing', 'curating') then 'worker/1' end,
            1, 40000, 60, 60, 0, 0, 0, 0, 0, 1, planned_at, planned_at, planned_at + interval '10 seconds',
            case when state in ('failed', 'quarantined') then 'PermanentError' end,
            case when state in ('failed', 'quarantined') then 'page 0: expected a json object, got html' end
       from generate_series(0, ${last}) as n, ingest.stream s,
            lateral (select ${stateOf(last)} as state, s.origin + make_interval(hours => n + 2) as planned_at) as w
      order by n, s.stream_id`,
    `insert into provenance.raw_page
            (source_ingest_id, epoch, page_no, path, sha256, stored_bytes, body_bytes, record_count, http_status,
             observed_at, fetched_at, request_fingerprint, is_last)
     select i.source_ingest_id, 1, 0, 'alpaca/bars/' || i.stream_id || '/' || i.source_ingest_id || '/1/0.json.gz',
            encode(sha256(i.source_ingest_id::text::bytea), 'hex'), 8000, 40000, 60, 200, i.started_at, i.started_at,
            encode(sha256(i.source_ingest_id::text::bytea), 'hex'), true
       from provenance.source_ingest i where i.state not in ('planned', 'landing')`,
    `insert into curated.partition
            (dataset, partition_key, stream_id, path, blob_version, etag, sha256, content_sha256, rows, bytes,
             transform_version, contract_version, source_ingest_id)
     select 'bars', s.curated_root || '/' || m, s.stream_id, s.curated_root || '/' || m || '.parquet', 1, 'e', 'h', 'c',
            1000, 50000, 1, 1, ${idOf('0', 's.stream_id', 0)}
       from ingest.stream s, generate_series(1, 3) as m`,
    `insert into curated.partition_ingest
     select 'bars', s.curated_root || '/1', i.source_ingest_id, 1, 1, 60, 0, 0, 0
       from provenance.source_ingest i join ingest.stream s using (stream_id) where i.state = 'published'`,
    `insert into provenance.reject (source_ingest_id, page_no, ordinal, code, detail)
     select ${idOf(`${last - 2}`, 's.stream_id', 0)}, 0, 1, 'bad_value', 'v: expected a number, got "x"'
       from ingest.stream s where s.stream_id % 100 = 0`,
    `insert into ingest.backfill (backfill_id, selector, requested_by) values (${idOf('1', '1', 3)}, '{}', 'past')`,
    // Years before the origin, where nothing else is.
    `insert into provenance.source_ingest
            (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by, backfill_id)
     select ${idOf('n', 's.stream_id', 4)}, s.stream_id, 'backfill', s.origin - make_interval(hours => n + 1),
            s.origin - make_interval(hours => n), s.params, 'past', ${idOf('1', '1', 3)}
       from generate_series(1, ${backfill}) as n,
            lateral (select * from ingest.stream order by stream_id offset n % 20 limit 1) as s`,
  ]
}

function ofOperations(): readonly string[] {
  return [
    `insert into ops.pipeline_runs (run_id, job, started_at, finished_at, status)
     select ${idOf('n', '0', 1)}, (array['plan-ingests', 'sweep', 'nightly'])[1 + n % 3],
            now() - make_interval(mins => n), now() - make_interval(mins => n), 'success'
       from generate_series(1, 3000) as n`,
    `insert into ops.alert (kind, severity, subject, opened_at, last_seen_at, closed_at, opened_told_at, closed_told_at)
     select 'freshness', 'warning', 'alpaca/bars/S' || n || '/1h', now(), now(), now(), now(), now()
       from generate_series(1, 3000) as n`,
  ]
}

function ofMetadata({ told }: Past): readonly string[] {
  const records = `
       from generate_series(1, ${told}) as n, metadata.target t,
            (values ('${ingestionVolume.kind}', 1), ('${ingestionRuntime.kind}', 2)) as k (kind, what)`
  const at = `now() - make_interval(hours => ${told} - n, mins => 5)`
  return [
    `insert into metadata.tenant (tenant) values ('default')`,
    `insert into metadata.target (tenant_no, source_id, schema_name, table_name)
     select n.tenant_no, s.source, s.dataset, concat_ws('/', s.subject, s.timeframe)
       from ingest.stream s, metadata.tenant n order by s.stream_id`,
    // Numbers of transactions that ended long ago.
    `insert into metadata.record
            (record_id, tenant_no, target_no, kind, effective_at, ordered_at, kind_version, producer_id, job_id, run_id,
             window_start, window_end, outcome, quality, produced_at, stored_at, xid, body)
     select ${idOf('n', 't.target_no * 2 + what', 0)}, t.tenant_no, t.target_no, k.kind, ${at}, ${at}, '1.0',
            'ingestion.v1', t.table_name, ${idOf('n', 't.target_no', 0)}::text, ${at} - interval '1 hour', ${at},
            case when what = 2 then case when n % 50 = 1 then 'fail' else 'pass' end end, 'live', ${at}, ${at},
            (3 + n)::text::xid8,
            jsonb_build_object('payload', jsonb_build_object('records', 60, 'inserted', 60, 'updated', 0, 'unchanged', 0,
              'superseded', 0, 'rejected', 0, 'outside', 0, 'filter', jsonb_build_object('symbol', t.table_name)),
              'context', jsonb_build_object('namespace', 'ingest', 'environment', jsonb_build_object('tenant', 'default')))
       ${records}
      order by n, t.target_no`,
    `insert into metadata.record_key (tenant_no, key, revision, content, record_id, ordered_at)
     select tenant_no, record_id, 0, record_id, record_id, ordered_at from metadata.record`,
    `insert into metadata.latest (target_no, kind, scope, effective_at, ordered_at, revision, record_id)
     select distinct on (target_no, kind, scope) target_no, kind, scope, effective_at, ordered_at, revision, record_id
       from metadata.record order by target_no, kind, scope, effective_at desc`,
  ]
}

const OUTBOX = {
  name: 'past outbox',
  text: `
insert into metadata.outbox (record, due_at)
select ($1::jsonb || jsonb_build_object('context', jsonb_build_object('namespace', 'ingest', 'runId', 'run ' || n)))::text,
       now() + make_interval(secs => n - $2::int * 0.9)
  from generate_series(1, $2::int) as n`,
}
