import { ConfigError } from '../errors.ts'
import type { Instant } from '../instant.ts'
import type { Queryable, Statement } from '../postgres/database.ts'

/** A SourceIngest with everything that is known of it. */
export type ExplainedIngest = {
  readonly sourceIngestId: string
  readonly stream: string
  readonly lane: string
  readonly state: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** Name and version of the file it is of. */
  readonly file: { readonly name: string; readonly version: number } | null
  /** Of a rebuild. */
  readonly partitionKey: string | null
  readonly byMark: boolean
  /** Attempts so far: every claim takes one. */
  readonly epoch: number
  readonly landedEpoch: number | null
  readonly attempts: number
  readonly claimedBy: string | null
  readonly initiatedBy: string
  readonly plannedAt: Instant
  readonly startedAt: Instant | null
  readonly finishedAt: Instant | null
  readonly nextAttemptAt: Instant | null
  readonly checkpointBefore: Instant | null
  readonly checkpointAfter: Instant | null
  readonly pages: number | null
  readonly bodyBytes: number | null
  readonly records: number | null
  readonly inserted: number | null
  readonly updated: number | null
  readonly unchanged: number | null
  readonly superseded: number | null
  readonly rejected: number | null
  readonly outside: number | null
  readonly removed: number | null
  readonly transformVersion: number | null
  readonly errorClass: string | null
  readonly error: string | null
  readonly supersededBy: string | null
  readonly withdrawnAt: Instant | null
  readonly splitOf: string | null
  readonly halves: readonly string[]
  readonly backfillId: string | null
  readonly pipelineRunId: string | null
}

const INGEST: Statement = {
  name: 'explain_ingest',
  text: `
select i.source_ingest_id as "sourceIngestId", concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream,
       i.lane, i.state, i.lo, i.hi,
       case when i.lane = 'import' and i.lo is null
            then jsonb_build_object('name', i.parameters ->> 'name', 'version', (i.parameters ->> 'version')::int) end as file,
       i.partition_key as "partitionKey", i.by_mark as "byMark", i.epoch, i.landed_epoch as "landedEpoch", i.attempts,
       i.claimed_by as "claimedBy", i.initiated_by as "initiatedBy", i.planned_at as "plannedAt",
       i.started_at as "startedAt", i.finished_at as "finishedAt", i.next_attempt_at as "nextAttemptAt",
       i.checkpoint_before as "checkpointBefore", i.checkpoint_after as "checkpointAfter", i.pages,
       i.body_bytes as "bodyBytes", i.records, i.inserted, i.updated, i.unchanged, i.superseded, i.rejected, i.outside,
       i.removed, i.transform_version as "transformVersion", i.error_class as "errorClass", i.error_summary as error,
       i.superseded_by as "supersededBy", i.withdrawn_at as "withdrawnAt", i.split_of as "splitOf",
       array(select h.source_ingest_id::text from provenance.source_ingest h
              where h.split_of = i.source_ingest_id and h.stream_id = i.stream_id order by h.lo) as halves,
       i.backfill_id as "backfillId", i.pipeline_run_id as "pipelineRunId"
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.source_ingest_id = $1::uuid`,
}

/** Throws ConfigError where there is none. */
export async function readIngest(db: Queryable, sourceIngestId: string): Promise<ExplainedIngest> {
  const [ingest] = await db.query<ExplainedIngest>(INGEST, [sourceIngestId])
  if (ingest !== undefined) return ingest
  throw new ConfigError([`ingest: expected one of this database, got ${sourceIngestId}`])
}

export type ExplainedPage = {
  readonly epoch: number
  readonly pageNo: number
  readonly path: string
  readonly sha256: string
  readonly storedBytes: number
  readonly bodyBytes: number
  /** Null: kept as evidence, but no page of its source. */
  readonly records: number | null
  readonly httpStatus: number | null
  readonly observedAt: Instant
  readonly fetchedAt: Instant
  readonly requestFingerprint: string
  readonly isLast: boolean
}

export const PAGE_COLUMNS = `
p.epoch, p.page_no as "pageNo", p.path, p.sha256, p.stored_bytes as "storedBytes", p.body_bytes as "bodyBytes",
       p.record_count as records, p.http_status as "httpStatus", p.observed_at as "observedAt",
       p.fetched_at as "fetchedAt", p.request_fingerprint as "requestFingerprint", p.is_last as "isLast"`

const PAGES: Statement = {
  name: 'explain_pages',
  text: `
select ${PAGE_COLUMNS}
  from provenance.raw_page p where p.source_ingest_id = $1::uuid
 order by p.epoch, p.page_no limit 10000`,
}

const WRITTEN: Statement = {
  name: 'explain_written',
  text: `
select l.dataset, l.partition_key as "partitionKey", p.path, l.transform_version as "transformVersion", l.inserted,
       l.updated, l.unchanged, l.superseded, p.source_ingest_id = $1::uuid as "lastWriter"
  from curated.partition_ingest l left join curated.partition p using (dataset, partition_key)
 where l.source_ingest_id = $1::uuid
 order by l.partition_key`,
}

/** What an ingest did in one partition. */
export type WrittenThere = {
  readonly dataset: string
  readonly partitionKey: string
  /** Null where the partition was never published. */
  readonly path: string | null
  readonly transformVersion: number
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly superseded: number
  readonly lastWriter: boolean | null
}

const REJECTS: Statement = {
  name: 'explain_rejects',
  text: `
select code, state, count(*), min(detail) as example from provenance.reject
 where source_ingest_id = $1::uuid group by code, state order by code, state`,
}

export type RejectsThere = {
  readonly code: string
  readonly state: string
  readonly count: number
  readonly example: string
}

export type IngestExplanation = {
  readonly ingest: ExplainedIngest
  /** Of every attempt; those of the one that landed are what files are made of. */
  readonly pages: readonly ExplainedPage[]
  readonly written: readonly WrittenThere[]
  readonly rejects: readonly RejectsThere[]
}

/** Throws ConfigError where there is no such ingest. */
export async function explainIngest(db: Queryable, sourceIngestId: string): Promise<IngestExplanation> {
  return {
    ingest: await readIngest(db, sourceIngestId),
    pages: await db.query<ExplainedPage>(PAGES, [sourceIngestId]),
    written: await db.query<WrittenThere>(WRITTEN, [sourceIngestId]),
    rejects: await db.query<RejectsThere>(REJECTS, [sourceIngestId]),
  }
}
