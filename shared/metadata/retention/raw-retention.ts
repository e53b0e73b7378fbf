import type { BlobContainer } from '../../azure/blobs.ts'
import { PermanentError, toError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { readRawPage } from '../../provenance/raw-page.ts'

export type RawRetentionOptions = {
  readonly db: Database
  /** Raw alone: not with the archive behind it. */
  readonly raw: BlobContainer
  readonly archive: BlobContainer
  /** Days that raw pages stay in raw, by source; a source that is not named keeps them for ever. */
  readonly rawRetentionDays: ReadonlyMap<string, number>
  /** Of the audit rows. */
  readonly actor: string
  readonly log: Log
  readonly stop?: AbortSignal
}

export type RawRetention = {
  readonly source: string
  readonly pages: number
  readonly bytes: number
  /** Pages that are not what was fetched: they stay where they are, and a person must look. */
  readonly damaged: number
}

// Of ingests that are done: whatever else is there is evidence, or still at work.
const DUE = `
  from provenance.raw_page p
  join provenance.source_ingest i using (source_ingest_id)
  join ingest.stream s using (stream_id)
 where s.source = $1::text and i.state in ('published', 'empty') and p.removed_at is null
   and (p.archived_at is not null or p.fetched_at < now() - make_interval(days => $2::int))`

const PLAN: Statement = {
  name: 'plan_raw_retention',
  text: `select count(*) as pages, coalesce(sum(p.stored_bytes), 0)::bigint as bytes ${DUE}`,
}

/** What would leave raw now. Changes nothing. */
export async function planRawRetention({
  db,
  rawRetentionDays,
}: Pick<RawRetentionOptions, 'db' | 'rawRetentionDays'>): Promise<RawRetention[]> {
  const plans: RawRetention[] = []
  for (const [source, days] of rawRetentionDays) {
    const [row] = await db.query<{ pages: number; bytes: number }>(PLAN, [source, days])
    plans.push({ source, pages: row?.pages ?? 0, bytes: row?.bytes ?? 0, damaged: 0 })
  }
  return plans
}

const INGESTS: Statement = {
  name: 'ingests_of_raw_retention',
  text: `select distinct i.source_ingest_id as "sourceIngestId" ${DUE} and i.source_ingest_id > $3::uuid order by 1 limit $4::int`,
}

const PAGES: Statement = {
  name: 'pages_of_raw_retention',
  text: `
select p.path, p.sha256, p.stored_bytes as bytes, p.archived_at is not null as archived ${DUE}
   and i.source_ingest_id = $3::uuid
 order by p.epoch, p.page_no`,
}

type Page = { readonly path: string; readonly sha256: string; readonly bytes: number; readonly archived: boolean }

const INGESTS_AT_ONCE = 100
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/**
 * Moves raw pages that are older than their source keeps them from raw to the archive, ingest by ingest: each is copied,
 * read back and compared with what was recorded when it was fetched; then recorded as archived, with an audit row, in
 * one transaction; only then removed. Safe to be killed anywhere, to run again and to run twice at once.
 */
export async function archiveRawPages(options: RawRetentionOptions): Promise<readonly RawRetention[]> {
  const done: RawRetention[] = []
  for (const [source, days] of options.rawRetentionDays) {
    let sum = { source, pages: 0, bytes: 0, damaged: 0 }
    for (let after = FIRST_ID; !options.stop?.aborted; ) {
      const values = [source, days, after, INGESTS_AT_ONCE]
      const ingests = await options.db.query<{ sourceIngestId: string }>(INGESTS, values)
      for (const { sourceIngestId } of ingests) {
        if (options.stop?.aborted) break
        const pages = await options.db.query<Page>(PAGES, [source, days, sourceIngestId])
        const moved = await archiveIngest(options, sourceIngestId, pages)
        sum = {
          ...sum,
          pages: sum.pages + moved.pages,
          bytes: sum.bytes + moved.bytes,
          damaged: sum.damaged + moved.damaged,
        }
      }
      const last = ingests.at(-1)
      if (last === undefined || ingests.length < INGESTS_AT_ONCE) break
      after = last.sourceIngestId
    }
    options.log.info('raw_pages_archived', { ...sum })
    done.push(sum)
  }
  return done
}

async function archiveIngest(
  { db, raw, archive, actor, log }: RawRetentionOptions,
  sourceIngestId: string,
  pages: readonly Page[],
): Promise<Omit<RawRetention, 'source'>> {
  const safe: Page[] = []
  for (const page of pages) {
    try {
      await copyPage(raw, archive, page)
      safe.push(page)
    } catch (thrown) {
      if (!(thrown instanceof PermanentError)) throw thrown
      log.error('raw_page_not_archived', { path: page.path, error: toError(thrown) })
    }
  }
  await recordArchived(db, { sourceIngestId, actor, pages: safe.filter(({ archived }) => !archived) })
  const removed: Page[] = []
  for (const page of safe) {
    const there = await raw.head(page.path)
    if (there === null || (await raw.remove(page.path, there.etag))) removed.push(page)
  }
  await recordRemoved(db, removed)
  const bytes = removed.reduce((sum, page) => sum + page.bytes, 0)
  return { pages: removed.length, bytes, damaged: pages.length - safe.length }
}

/** Afterwards the archive has the page, byte for byte. Throws PermanentError where neither has what was recorded. */
async function copyPage(raw: BlobContainer, archive: BlobContainer, page: Page): Promise<void> {
  const blob = await raw.get(page.path)
  // None: it was removed before that could be recorded.
  if (blob !== null) {
    // Nothing overwrites what is in the archive, so nothing damaged may come there.
    await readRawPage(raw, page)
    const options = { condition: { kind: 'absent' as const }, contentType: 'application/gzip', metadata: blob.metadata }
    await archive.put(page.path, blob.body, options)
  }
  await readRawPage(archive, page)
}

const ARCHIVED: Statement = {
  name: 'record_archived_raw_pages',
  text: `
update provenance.raw_page set archived_at = now() where path = any($1::text[]) and archived_at is null returning path`,
}

async function recordArchived(
  db: Database,
  {
    sourceIngestId,
    actor,
    pages,
  }: { readonly sourceIngestId: string; readonly actor: string; readonly pages: readonly Page[] },
): Promise<void> {
  if (pages.length === 0) return
  await db.transaction(async (tx) => {
    const marked = await tx.query<{ path: string }>(ARCHIVED, [pages.map(({ path }) => path)])
    if (marked.length === 0) return
    const paths = marked.map(({ path }) => path).sort()
    await recordAudit(tx, { actor, action: 'archive_raw_pages', subject: `ingest ${sourceIngestId}`, after: { paths } })
  })
}

const REMOVED: Statement = {
  name: 'record_removed_raw_pages',
  text: `update provenance.raw_page set removed_at = now() where path = any($1::text[]) and archived_at is not null`,
}

async function recordRemoved(db: Queryable, pages: readonly Page[]): Promise<void> {
  if (pages.length > 0) await db.query(REMOVED, [pages.map(({ path }) => path)])
}
