import { encode } from '../../curated/partition-file.ts'
import { curatedRoot, partitionOf } from '../../curated/partition-path.ts'
import { differenceOf, type RowDifference } from '../../curated/row-difference.ts'
import type { Dataset } from '../../datasets/contract.ts'
import { LeaseLostError, PermanentError } from '../../errors.ts'
import { instantOfDate, parseDate } from '../../instant.ts'
import { sample } from '../../json.ts'
import { ENDED_INGEST, TELL_INGESTION } from '../../metadata/producers/ingestion.ts'
import type { Platform } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { bindClaim } from '../state/bind-claim.ts'
import { type CurateClaim, placeOf } from '../state/claim.ts'
import { nextState } from '../state/state-machine.ts'
import { readListingToRebuild } from './partition-listing.ts'
import {
  type PartitionTarget,
  readTarget,
  replaceTarget,
  untilWritten,
  type WrittenPartition,
} from './partition-target.ts'
import { formatPartitions, PLACE_PARTITIONS, partitionRows } from './place-partitions.ts'
import { rebuildRows } from './rebuild-rows.ts'

/**
 * Makes the file of one partition again from the raw pages of its current ingests, and publishes it: rows of ingests
 * that were superseded or withdrawn leave it, rows of a new transform come in. It always writes, equal bytes too, and
 * an empty file where nothing is left: only a new ETag stops a PUT of one left out that is under way.
 */
export async function rebuildPartition(platform: Platform, claim: CurateClaim, signal: AbortSignal): Promise<void> {
  const { source, bound } = bindClaim(platform, claim)
  const { dataset, transformVersion } = source
  const { partitionKey } = claim
  if (partitionKey === null) {
    throw new PermanentError(`rebuild ${claim.sourceIngestId}: expected the key of a partition, got none`)
  }
  const path = ownPath(claim, dataset, partitionKey)
  const target = { platform, claim, dataset, bound, transformVersion, partitionKey, path, signal }
  const written = await untilWritten(target, () => tryRebuild(target))
  signal.throwIfAborted()
  await publishRebuild(platform.db, claim, written)
}

/**
 * The blob of a partition of the claim's stream. None of this stream's rows belong into another one's file: a rebuild
 * would leave it empty.
 */
function ownPath(claim: CurateClaim, dataset: Dataset, partitionKey: string): string {
  const [, year, month = '01'] = /\/year=(\d{4})\/(?:month=(\d\d)\/)?/.exec(partitionKey) ?? []
  const date = parseDate(`${year}-${month}-01`)
  const partition = date === undefined ? undefined : partitionOf(dataset, placeOf(claim), instantOfDate(date))
  if (partition?.partitionKey === partitionKey) return partition.path
  throw new PermanentError(
    `rebuild ${claim.sourceIngestId}: expected a partition of ${curatedRoot(placeOf(claim))}, got ${sample(JSON.stringify(partitionKey))}`,
  )
}

/** The order matters: whoever wrote before the GET had listed itself before, and whoever writes after it stops the PUT. */
async function tryRebuild(target: PartitionTarget): Promise<WrittenPartition | null> {
  const { platform, claim, dataset, partitionKey, transformVersion } = target
  const file = await readTarget(target)
  const { ingests } = await readListingToRebuild(platform.db, claim, partitionKey)
  if (ingests.length === 0) await checkWasListed(platform.db, claim, partitionKey)
  const rows = await rebuildRows({ ...target, raw: platform.raw, place: placeOf(claim) }, ingests)
  const encoded = encode(dataset, rows, transformVersion)
  // Of a file that cannot be read nobody can say what changed.
  const difference = file.kind === 'file' ? differenceOf(dataset, file.rows, rows) : null
  const again = file.kind === 'file' && file.sha256 === encoded.sha256
  const blobVersion = await countRebuilt(platform.db, claim, { difference, keepCounts: again })
  return replaceTarget(target, { over: file, rows, encoded, blobVersion })
}

const WAS_LISTED: Statement = {
  name: 'was_listed_in_partition',
  text: `select 1 from curated.partition_ingest where dataset = $1::text and partition_key = $2::text limit 1`,
}

/** What ingests that are left out had written becomes an empty file; what none has ever written stays no partition. */
async function checkWasListed(db: Queryable, claim: CurateClaim, partitionKey: string): Promise<void> {
  const listed = await db.query(WAS_LISTED, [claim.dataset, partitionKey])
  if (listed.length > 0) return
  throw new PermanentError(
    `rebuild ${claim.sourceIngestId}: expected a partition that an ingest has written, got ${sample(JSON.stringify(partitionKey))}`,
  )
}

// Guarded by the epoch and before the PUT, so counts survive it: a try that finds the very bytes it would write ($7)
// keeps what an earlier try has counted.
const COUNT: Statement = {
  name: 'count_rebuilt',
  text: `
update provenance.source_ingest i
   set inserted = case when k.keep then i.inserted else $3::bigint end,
       updated = case when k.keep then i.updated else $4::bigint end,
       unchanged = case when k.keep then i.unchanged else $5::bigint end,
       removed = case when k.keep then i.removed else $6::bigint end
  from (select $7::boolean and inserted is not null as keep
          from provenance.source_ingest where source_ingest_id = $1::uuid) k
 where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.state = 'curating'
returning coalesce((select p.blob_version from curated.partition p
                     where p.dataset = $8::text and p.partition_key = i.partition_key), 0) as "blobVersion"`,
}

type Counted = { readonly difference: RowDifference | null; readonly keepCounts: boolean }

async function countRebuilt(db: Queryable, claim: CurateClaim, { difference, keepCounts }: Counted): Promise<number> {
  const { added = null, changed = null, unchanged = null, removed = null } = difference ?? {}
  const values = [claim.sourceIngestId, claim.epoch, added, changed, unchanged, removed, keepCounts, claim.dataset]
  const [row] = await db.query<{ blobVersion: number }>(COUNT, values)
  if (row !== undefined) return row.blobVersion
  throw new LeaseLostError(`rebuild ${claim.sourceIngestId}: epoch ${claim.epoch} may no longer write its partition`)
}

const PUBLISH: Statement = {
  name: 'publish_rebuild',
  text: `
with locked as materialized (
  select stream_id from ingest.stream where stream_id = $3::bigint for update
), partition as materialized (${partitionRows('$4')}
), done as (
  update provenance.source_ingest i
     set state = ${nextState('i', 'publish')}, finished_at = now(), attempts = 0, attempting_since = null,
         claimed_by = null, lease_expires_at = null, error_class = null, error_summary = null
    from locked l
   where i.source_ingest_id = $1::uuid and i.epoch = $2::int and i.stream_id = l.stream_id
     and i.lane = 'reprocess' and ${nextState('i', 'publish')} is not null
  returning ${ENDED_INGEST}
), placed as (${PLACE_PARTITIONS}
), told as (${TELL_INGESTION}
)
select 1 from done`,
}

/** `curating → published` for a rebuild: no coverage and no rejects, only what the partition now is. */
async function publishRebuild(db: Queryable, claim: CurateClaim, written: WrittenPartition): Promise<void> {
  const { sourceIngestId, epoch, streamId } = claim
  const done = await db.query(PUBLISH, [sourceIngestId, epoch, streamId, formatPartitions([written])])
  if (done.length === 0) throw new LeaseLostError(`rebuild ${sourceIngestId}: epoch ${epoch} is no longer mine`)
}
