import { z } from 'zod'
import type { BlobFacts } from '../../azure/blobs.ts'
import type { Statement } from '../../postgres/database.ts'
import { PROBE_PATH } from '../../provenance/raw-path.ts'
import { damage, type Finding, type FsckContext } from './finding.ts'

// A page is stored first and recorded then: the row may have come since the listing.
const INGESTS: Statement = {
  name: 'fsck_ingests_of_blobs',
  text: `
select b.path, i.source_ingest_id as "sourceIngestId", i.state, i.epoch, i.landed_epoch as "landedEpoch",
       i.error_class as "errorClass", exists (select from provenance.raw_page p where p.path = b.path) as recorded
  from jsonb_to_recordset($1::jsonb) as b (path text, id uuid)
  left join provenance.source_ingest i on i.source_ingest_id = b.id`,
}

type IngestOfBlob = {
  readonly path: string
  readonly sourceIngestId: string | null
  readonly state: string
  readonly epoch: number
  readonly landedEpoch: number | null
  readonly errorClass: string | null
  readonly recorded: boolean
}

/** What a raw blob says of itself, as `storeRawPage` writes it. */
const metadataShape = z.object({
  sourceingestid: z.uuid(),
  epoch: z.coerce.number().int(),
  pageno: z.coerce.number().int(),
})

/**
 * Blobs of the raw zone without a row. Most often an attempt ended between storing and recording its page: it never
 * landed, and nothing is made of it.
 */
export async function* explainUnlisted(
  { platform }: FsckContext,
  blobs: readonly BlobFacts[],
): AsyncGenerator<Finding> {
  const named: { path: string; id: string; epoch: number }[] = []
  for (const { path, metadata } of blobs) {
    if (path === PROBE_PATH) continue
    const parsed = metadataShape.safeParse(metadata)
    if (!parsed.success) {
      yield orphan(path, 'expected the metadata of a raw page, got none that can be read')
      continue
    }
    const { sourceingestid: id, epoch, pageno } = parsed.data
    if (path.includes(`_${id}_e${epoch}_p${pageno}.`)) named.push({ path, id, epoch })
    else yield orphan(path, `expected the name of page ${pageno} of ingest ${id} epoch ${epoch}, got another`)
  }
  if (named.length === 0) return
  const epochs = new Map(named.map(({ path, epoch }) => [path, epoch]))
  const found = await platform.db.query<IngestOfBlob>(INGESTS, [JSON.stringify(named)])
  for (const ingest of found) {
    const finding = ingest.recorded ? null : judge(ingest, epochs.get(ingest.path) ?? 0)
    if (finding !== null) yield finding
  }
}

function judge({ path, sourceIngestId, state, epoch, landedEpoch, errorClass }: IngestOfBlob, mine: number): Finding {
  if (sourceIngestId === null) return orphan(path, 'expected an ingest of this database, it names another')
  const kind = 'raw_page_unlisted'
  if (mine === landedEpoch) {
    return damage({
      kind,
      place: path,
      detail: `ingest ${sourceIngestId} landed in epoch ${mine}: expected this page among its pages, its row is lost`,
      repair: { kind: 'restore_pages', sourceIngestId },
      advice: null,
    })
  }
  const rest = { kind, place: path, repair: null, advice: null } as const
  if (state === 'landing' && mine === epoch) {
    return { ...rest, weight: 'in_flight', detail: `ingest ${sourceIngestId} is landing` }
  }
  const then =
    landedEpoch === null
      ? `it is ${state}${errorClass === null ? '' : ` (${errorClass})`}`
      : `it landed in epoch ${landedEpoch}`
  const detail = `epoch ${mine} of ingest ${sourceIngestId} ended before this page was recorded; ${then}`
  return { ...rest, weight: 'explained', detail }
}

function orphan(path: string, detail: string): Finding {
  const advice = 'find out who wrote it; nothing is made of it'
  return damage({ kind: 'raw_blob_orphan', place: path, detail, repair: null, advice })
}
