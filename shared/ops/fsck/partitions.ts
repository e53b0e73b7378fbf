import { readPartitionListing } from '../../ingest/curate/partition-listing.ts'
import { readPartitions } from '../../ingest/repair/verify.ts'
import { compareHashes, type PartitionName } from '../../ingest/repair/verify-hashes.ts'
import { decodePathPart } from '../../path-part.ts'
import type { Statement } from '../../postgres/database.ts'
import { chunksOf, damage, type Finding, type FsckContext, type Repair } from './finding.ts'

/** Every published partition has its file, and the file is what Postgres says. */
export async function* checkPartitions(context: FsckContext): AsyncGenerator<Finding> {
  const { platform, signal, deep, checked } = context
  for await (const partition of readPartitions(platform.db, {})) {
    signal.throwIfAborted()
    checked.partitions++
    const verdict = await compareHashes(platform, partition, { deep })
    if (verdict.kind === 'pending') yield inFlight('partition_altered', partition.path)
    if (verdict.kind !== 'different') continue
    const kind = verdict.found === null ? 'partition_missing' : 'partition_altered'
    const repair = { kind: 'rebuild_partition', ...nameOf(partition), streamId: partition.streamId } as const
    yield await withRepair(context, { kind, place: partition.path, detail: verdict.detail ?? 'differs' }, repair)
  }
}

const KNOWN: Statement = {
  name: 'fsck_known_partitions',
  text: `
select b.path, p.partition_key is not null as known,
       (select min(i.stream_id) from curated.partition_ingest l join provenance.source_ingest i using (source_ingest_id)
         where l.dataset = b.dataset and l.partition_key = b.key and i.state = 'published') as "streamId"
  from jsonb_to_recordset($1::jsonb) as b (path text, dataset text, key text)
  left join curated.partition p on p.dataset = b.dataset and p.partition_key = b.key`,
}

type Known = { readonly path: string; readonly known: boolean; readonly streamId: number | null }

const CHUNK = 1_000

/** Every file of the curated zone is a published partition. */
export async function* checkCuratedBlobs(context: FsckContext): AsyncGenerator<Finding> {
  const { platform, signal, checked } = context
  for await (const blobs of chunksOf(platform.curated.list(''), CHUNK)) {
    signal.throwIfAborted()
    checked.blobs += blobs.length
    const names = new Map<string, PartitionName>()
    for (const { path } of blobs) {
      const name = partitionNameOf(path)
      if (name === null) yield foreign(path)
      else names.set(path, name)
    }
    const asked = [...names.values()].map(({ path, dataset, partitionKey }) => ({ path, dataset, key: partitionKey }))
    const found = await platform.db.query<Known>(KNOWN, [JSON.stringify(asked)])
    for (const { path, known, streamId } of found) {
      const name = names.get(path)
      if (known || name === undefined) continue
      const verdict = await compareHashes(platform, name, { deep: false })
      if (verdict.kind === 'pending') yield inFlight('partition_unlisted', path)
      if (verdict.kind !== 'different') continue
      const finding = { kind: 'partition_unlisted', place: path, detail: verdict.detail ?? 'nobody knows it' } as const
      const repair = streamId === null ? null : ({ kind: 'rebuild_partition', ...nameOf(name), streamId } as const)
      yield repair === null ? foreign(path) : await withRepair(context, finding, repair)
    }
  }
}

/** The reverse of `partitionPath`; null for any other name. */
function partitionNameOf(path: string): PartitionName | null {
  const [, folder, partitionKey] = /^dataset=([^/]+)\/(.+)\.parquet$/.exec(path) ?? []
  if (folder === undefined || partitionKey === undefined) return null
  try {
    return { dataset: decodePathPart(folder), partitionKey, path }
  } catch {
    return null
  }
}

const nameOf = ({ dataset, partitionKey }: PartitionName) => ({ dataset, partitionKey })

const LISTED: Statement = {
  name: 'fsck_listed_in_partition',
  text: `
select l.source_ingest_id as "sourceIngestId"
  from curated.partition_ingest l join provenance.source_ingest i using (source_ingest_id)
 where l.dataset = $1::text and l.partition_key = $2::text and i.superseded_by is null and i.withdrawn_at is null`,
}

/** A rebuild refuses where a raw page is damaged; where its row is lost it would leave the page out. */
async function withRepair(
  { platform, damagedPages, brokenIngests }: FsckContext,
  finding: Pick<Finding, 'kind' | 'place' | 'detail'>,
  repair: Extract<Repair, { kind: 'rebuild_partition' }>,
): Promise<Finding> {
  const name = [repair.dataset, repair.partitionKey] as const
  const listed = await platform.db.query<{ sourceIngestId: string }>(LISTED, name)
  const broken = listed.find(({ sourceIngestId }) => brokenIngests.has(sourceIngestId))
  const { ingests } = await readPartitionListing(platform.db, ...name)
  const page = ingests.flatMap(({ pages }) => pages).find(({ path }) => damagedPages.has(path))
  if (broken === undefined && page === undefined) return damage({ ...finding, repair, advice: null })
  const first = page === undefined ? `the pages of ingest ${broken?.sourceIngestId} are` : `raw page ${page.path} is`
  return damage({ ...finding, repair: null, advice: `it cannot be made before ${first} mended; then look again` })
}

function inFlight(kind: Finding['kind'], path: string): Finding {
  const detail = 'an ingest or a rebuild of it is not published yet'
  return { kind, weight: 'in_flight', place: path, detail, repair: null, advice: null }
}

function foreign(path: string): Finding {
  const advice = 'find out who wrote it and move it away: readers take it for data'
  const detail = 'expected a file of a published partition, no ingest is listed for it'
  return damage({ kind: 'partition_unlisted', place: path, detail, repair: null, advice })
}
