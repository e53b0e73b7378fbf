import type { StreamPlace } from '../../curated/partition-path.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { nextState } from './state-machine.ts'

/** A worker's hold on an ingest: every write that changes state carries id and epoch, or changes nothing. */
export type Claim = {
  readonly sourceIngestId: string
  readonly epoch: number
  readonly streamId: number
  readonly lane: string
  readonly source: string
  readonly dataset: string
  readonly subject: string
  readonly timeframe: string | null
  /** Of the stream. */
  readonly params: unknown
  /** Of the ingest: as the stream's were when it was planned, or the version of a file. */
  readonly parameters: unknown
  /** Null for files and rebuilds. */
  readonly lo: Instant | null
  readonly hi: Instant | null
  /** Database time of the claim: orders attempts whatever the workers' clocks say. */
  readonly claimedAt: Instant
  /** Of the stream, seconds; null where the provider keeps everything. */
  readonly retentionS: number | null
}

/** One stored page of the attempt that landed. */
export type ManifestPage = {
  readonly pageNo: number
  readonly path: string
  readonly sha256: string
  readonly recordCount: number
  readonly observedAt: Instant
}

export type CurateClaim = Claim & {
  readonly landedEpoch: number
  readonly partitionKey: string | null
  /** Partitions that an earlier attempt may have written its rows to. */
  readonly listedIn: readonly string[]
  readonly pages: readonly ManifestPage[]
}

export type ClaimRequest = {
  readonly sourceIngestId: string
  readonly worker: string
  readonly leaseSeconds: number
  /** Transform version of every source this worker knows. An ingest of another source or a newer version is refused. */
  readonly transformVersions: Readonly<Record<string, number>>
}

const CLAIM_COLUMNS = `
  i.source_ingest_id as "sourceIngestId", i.epoch, i.stream_id as "streamId", i.lane, s.source, s.dataset, s.subject,
  s.timeframe, s.params, i.parameters, i.lo, i.hi, now() as "claimedAt", s.retention_s as "retentionS"`

// A refused claim takes no epoch, no attempt and no lease: it matches no row.
const CLAIMABLE = `
   and not s.paused
   and (i.next_attempt_at is null or i.next_attempt_at <= now())
   and i.superseded_by is null and i.withdrawn_at is null
   and coalesce(i.transform_version, 0) <= ($4::jsonb ->> s.source)::int`

const TAKE = `
       epoch = i.epoch + 1,
       attempts = i.attempts + 1,
       attempting_since = coalesce(i.attempting_since, now()),
       next_attempt_at = null,
       claimed_by = $2::text,
       lease_expires_at = now() + make_interval(secs => $3::int),
       started_at = coalesce(i.started_at, now())`

const CLAIM_TO_LAND: Statement = {
  name: 'claim_to_land',
  text: `
update provenance.source_ingest i
   set state = ${nextState('i', 'claimToLand')},
       checkpoint_before = ingest.checkpoint(s.origin, s.published + s.accepted),
       ${TAKE}
  from ingest.stream s
 where i.source_ingest_id = $1::uuid and s.stream_id = i.stream_id
   and ${nextState('i', 'claimToLand')} is not null
   ${CLAIMABLE}
returning ${CLAIM_COLUMNS}`,
}

// The manifest comes with the claim: the pages of the epoch that landed, and of no other.
const CLAIM_TO_CURATE: Statement = {
  name: 'claim_to_curate',
  text: `
with claimed as (
  update provenance.source_ingest i
     set state = ${nextState('i', 'claimToCurate')},
         transform_version = ($4::jsonb ->> s.source)::int,
         ${TAKE}
    from ingest.stream s
   where i.source_ingest_id = $1::uuid and s.stream_id = i.stream_id
     and ${nextState('i', 'claimToCurate')} is not null
     and (s.held_reason is null or i.lane = 'reprocess')
     ${CLAIMABLE}
  returning ${CLAIM_COLUMNS}, i.landed_epoch as "landedEpoch", i.partition_key as "partitionKey",
    array(select l.partition_key from curated.partition_ingest l
           where l.source_ingest_id = i.source_ingest_id order by l.partition_key) as "listedIn"
)
select c.*, p.page_no as "pageNo", p.path, p.sha256, p.record_count as "recordCount", p.observed_at as "observedAt"
  from claimed c
  left join provenance.raw_page p on p.source_ingest_id = c."sourceIngestId" and p.epoch = c."landedEpoch"
 order by p.page_no`,
}

/** Where the stream of a claim keeps its partitions. */
export function placeOf({ dataset, source, subject, timeframe }: Claim): StreamPlace {
  return { dataset, source, subject, timeframe: timeframe ?? undefined }
}

/** Names the stream in the metadata of its raw pages. */
export function streamKeyOf({ source, dataset, subject, timeframe }: Claim): string {
  return [source, dataset, subject, timeframe ?? ''].join('/')
}

/** `planned → landing` with a new epoch, an attempt and a lease; null where the claim is refused. */
export async function claimToLand(db: Queryable, request: ClaimRequest): Promise<Claim | null> {
  const rows = await db.query<Claim>(CLAIM_TO_LAND, values(request))
  return rows[0] ?? null
}

/** `landed → curating` (a rebuild: `planned → curating`) with the manifest; null where the claim is refused. */
export async function claimToCurate(db: Queryable, request: ClaimRequest): Promise<CurateClaim | null> {
  const rows = await db.query<Omit<CurateClaim, 'pages'> & ManifestPage>(CLAIM_TO_CURATE, values(request))
  const first = rows[0]
  if (first === undefined) return null
  const { pageNo, path, sha256, recordCount, observedAt, ...claim } = first
  const pages =
    pageNo === null
      ? []
      : rows.map(({ pageNo, path, sha256, recordCount, observedAt }) => ({
          pageNo,
          path,
          sha256,
          recordCount,
          observedAt,
        }))
  return { ...claim, pages }
}

function values({ sourceIngestId, worker, leaseSeconds, transformVersions }: ClaimRequest): readonly unknown[] {
  return [sourceIngestId, worker, leaseSeconds, JSON.stringify(transformVersions)]
}

const STATE_OF: Statement = {
  name: 'state_of_ingest',
  text: `
select i.state, i.lane, s.paused, s.held_reason as "heldReason", i.next_attempt_at as "nextAttemptAt"
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.source_ingest_id = $1::uuid`,
}

export type IngestState = {
  readonly state: string
  readonly lane: string
  readonly paused: boolean
  readonly heldReason: string | null
  readonly nextAttemptAt: Instant | null
}

/** Why a claim was refused; null where there is no such ingest. */
export async function stateOf(db: Queryable, sourceIngestId: string): Promise<IngestState | null> {
  const rows = await db.query<IngestState>(STATE_OF, [sourceIngestId])
  return rows[0] ?? null
}
