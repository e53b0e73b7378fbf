import type { Instant } from '../../instant.ts'
import type { Platform } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { readKnownRejects } from '../../provenance/rejects.ts'
import type { ListedIngest } from '../curate/partition-listing.ts'
import type { SelectedStream } from '../plan/select-streams.ts'
import type { ManifestPage } from '../state/claim.ts'
import { type Preview, type PreviewOptions, previewPartitions } from './reprocess.ts'
import { type IngestRejects, parseAgain } from './reprocess-parse.ts'
import { targetOf } from './reprocess-target.ts'

const WITH_OPEN_REJECTS: Statement = {
  name: 'ingests_with_open_rejects',
  text: `
select i.source_ingest_id as "sourceIngestId", i.lo, i.hi, i.pages as "pagesLanded",
       p.page_no as "pageNo", p.path, p.sha256, p.record_count as "recordCount", p.observed_at as "observedAt"
  from provenance.source_ingest i
  join provenance.raw_page p on p.source_ingest_id = i.source_ingest_id and p.epoch = i.landed_epoch
 where i.stream_id = $1::bigint and ($2::uuid is null or i.source_ingest_id = $2::uuid)
   and i.state = 'published' and i.superseded_by is null and i.withdrawn_at is null
   and exists (select from provenance.reject r where r.source_ingest_id = i.source_ingest_id and r.state = 'open')
 order by i.source_ingest_id, p.page_no`,
}

/**
 * Reads the stored pages of every ingest with open rejects with today's transform. The partitions that a record falls
 * into which now fits are to be made again, with its ingest listed where it was not: an ingest may have had no other
 * row there. `sourceIngestId` null: all of the stream.
 */
export async function previewReplay(
  platform: Platform,
  stream: SelectedStream,
  sourceIngestId: string | null,
  options: PreviewOptions,
): Promise<Preview> {
  const target = targetOf(platform, stream)
  const { db, raw } = platform
  const wanted = new Map<string, ListedIngest[]>()
  const rejects: IngestRejects[] = []
  for (const ingest of await ingestsWithOpenRejects(db, stream.streamId, sourceIngestId)) {
    options.signal.throwIfAborted()
    const known = await readKnownRejects(db, [ingest.sourceIngestId])
    const again = await parseAgain({ raw, target, ingest, known, signal: options.signal })
    rejects.push(again.rejects)
    for (const { partitionKey } of again.rejects.fits) {
      if (partitionKey !== null) wanted.set(partitionKey, [...(wanted.get(partitionKey) ?? []), ingest])
    }
  }
  const preview = await previewPartitions(platform, target, wanted, options)
  const others = preview.rejects.filter((one) => !rejects.some((mine) => mine.sourceIngestId === one.sourceIngestId))
  return { ...preview, rejects: [...rejects, ...others] }
}

type Row = ManifestPage & {
  readonly sourceIngestId: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  readonly pagesLanded: number
}

async function ingestsWithOpenRejects(
  db: Queryable,
  streamId: number,
  sourceIngestId: string | null,
): Promise<readonly ListedIngest[]> {
  const ingests = new Map<string, ListedIngest & { readonly pages: ManifestPage[] }>()
  for (const row of await db.query<Row>(WITH_OPEN_REJECTS, [streamId, sourceIngestId])) {
    const { sourceIngestId: id, lo, hi, pagesLanded, ...page } = row
    const ingest = ingests.get(id) ?? { sourceIngestId: id, lo, hi, pagesLanded, pages: [] }
    ingest.pages.push(page)
    ingests.set(id, ingest)
  }
  return [...ingests.values()]
}
