import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { State } from './state-machine.ts'

/** An ingest that has not ended, or whose end a person must look at. */
export type UnpublishedIngest = {
  readonly sourceIngestId: string
  readonly streamId: number
  readonly stream: string
  readonly lane: string
  readonly state: State
  readonly epoch: number
  /** Its raw pages are there: it can be tried again without asking the provider. */
  readonly landed: boolean
  /** Null for files and rebuilds, which `subject` names. */
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** Name and version of a file, key of the partition of a rebuild. */
  readonly subject: string | null
  readonly attempts: number
  readonly nextAttemptAt: Instant | null
  /** Until the next attempt may begin, seconds; null where it may, or none follows. */
  readonly waitS: number | null
  readonly claimedBy: string | null
  readonly leaseExpiresAt: Instant | null
  readonly leaseExpired: boolean
  readonly errorClass: string | null
  readonly errorSummary: string | null
  readonly finishedAt: Instant | null
}

const NAME = `concat_ws('/', s.source, s.dataset, s.subject, s.timeframe)`

// What has been read, or accepted, since it failed is nobody's to mend: of a lookback that is what a later ingest has
// read, because its window was published before it began.
const COVERED = `
(i.lo is not null and i.state in ('failed', 'quarantined') and
 case when i.lane = 'lookback'
      then s.accepted + coalesce((select range_agg(tstzrange(later.lo, later.hi))
                                    from provenance.source_ingest later
                                   where later.stream_id = i.stream_id and later.planned_at > i.planned_at
                                     and later.state in ('published', 'empty') and later.lo is not null), '{}')
      else s.published + s.accepted end @> tstzrange(i.lo, i.hi))`

const COLUMNS = `
i.source_ingest_id as "sourceIngestId", i.stream_id as "streamId", ${NAME} as stream, i.lane, i.state, i.epoch,
       i.landed_epoch is not null as landed, i.lo, i.hi,
       coalesce(i.partition_key, (i.parameters ->> 'name') || ' version ' || (i.parameters ->> 'version')) as subject,
       i.attempts, i.next_attempt_at as "nextAttemptAt",
       case when i.next_attempt_at > now() then extract(epoch from i.next_attempt_at - now())::float8 end as "waitS",
       i.claimed_by as "claimedBy", i.lease_expires_at as "leaseExpiresAt",
       coalesce(i.lease_expires_at < now(), false) as "leaseExpired",
       i.error_class as "errorClass", i.error_summary as "errorSummary", i.finished_at as "finishedAt"`

const UNPUBLISHED: Statement = {
  name: 'unpublished_ingests',
  text: `
select ${COLUMNS}
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where ($1::bigint[] is null or i.stream_id = any($1::bigint[])) and i.state = any($2::text[])
   and i.superseded_by is null and i.withdrawn_at is null and not ${COVERED}
 order by stream, i.hi desc nulls first, i.planned_at, i.source_ingest_id`,
}

/** Those of `states` that nothing has made needless since, in the order of their streams, the newest windows first. */
export async function readUnpublished(
  db: Queryable,
  { streamIds, states }: { readonly streamIds?: readonly number[] | undefined; readonly states: readonly State[] },
): Promise<readonly UnpublishedIngest[]> {
  return db.query<UnpublishedIngest>(UNPUBLISHED, [streamIds ?? null, states])
}

const BY_ID: Statement = {
  name: 'ingests_by_id',
  text: `
select ${COLUMNS}
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.source_ingest_id = any($1::uuid[])`,
}

/** Whatever their state; ids that are unknown are left out. */
export async function readIngests(db: Queryable, ids: readonly string[]): Promise<readonly UnpublishedIngest[]> {
  return db.query<UnpublishedIngest>(BY_ID, [ids])
}
