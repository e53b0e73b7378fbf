import type { Reject } from '../datasets/record-sink.ts'
import { ConfigError } from '../errors.ts'
import type { Instant } from '../instant.ts'
import { storableJson } from '../json.ts'
import { recordAudit } from '../ops/audit.ts'
import type { Database, Queryable, Statement } from '../postgres/database.ts'

/** open: somebody must look · replayed: it fits a later transform and is curated · waived: a person let it go */
export type RejectState = 'open' | 'replayed' | 'waived'

export type StoredReject = {
  readonly rejectId: number
  readonly stream: string
  readonly sourceIngestId: string
  readonly pageNo: number
  readonly ordinal: number
  readonly code: string
  readonly detail: string
  readonly record: unknown
  readonly state: RejectState
  readonly createdAt: Instant
  /** Of the page that holds the record; null where the page is not known any more. */
  readonly rawPath: string | null
}

/** Which rejects are meant. Those of superseded and withdrawn ingests are nobody's to mend and never are. */
export type RejectSelection = {
  readonly streamIds: readonly number[] | null
  readonly sourceIngestId: string | null
  readonly code: string | null
}

const SELECTED = `
  from provenance.reject r
  join provenance.source_ingest i using (source_ingest_id)
  join ingest.stream s using (stream_id)
 where ($1::bigint[] is null or i.stream_id = any($1::bigint[]))
   and ($2::uuid is null or i.source_ingest_id = $2::uuid)
   and ($3::text is null or r.code = $3::text)
   and i.superseded_by is null and i.withdrawn_at is null`

const STREAM_NAME = `concat_ws('/', s.source, s.dataset, s.subject, s.timeframe)`

const LIST: Statement = {
  name: 'list_rejects',
  text: `
select r.reject_id as "rejectId", ${STREAM_NAME} as stream, r.source_ingest_id as "sourceIngestId", r.page_no as "pageNo",
       r.ordinal, r.code, r.detail, r.record, r.state, r.created_at as "createdAt",
       (select p.path from provenance.raw_page p
         where p.source_ingest_id = i.source_ingest_id and p.epoch = i.landed_epoch and p.page_no = r.page_no) as "rawPath"
${SELECTED} and ($4::text[] is null or r.state = any($4::text[]))
 order by r.reject_id desc
 limit $5::int`,
}

const COUNT: Statement = {
  name: 'count_rejects',
  text: `
select ${STREAM_NAME} as stream, r.code, r.state, count(*)
${SELECTED} and ($4::text[] is null or r.state = any($4::text[]))
 group by 1, 2, 3 order by 1, 2, 3`,
}

export type RejectCount = {
  readonly stream: string
  readonly code: string
  readonly state: RejectState
  readonly count: number
}

export type RejectList = {
  /** Of all that are meant, also those beyond the limit. */
  readonly counts: readonly RejectCount[]
  /** Newest first. */
  readonly rejects: readonly StoredReject[]
}

/** `states` null: all of them. */
export async function listRejects(
  db: Queryable,
  { streamIds, sourceIngestId, code }: RejectSelection,
  { states, limit }: { readonly states: readonly RejectState[] | null; readonly limit: number },
): Promise<RejectList> {
  const values = [streamIds, sourceIngestId, code, states]
  return {
    counts: await db.query<RejectCount>(COUNT, values),
    rejects: await db.query<StoredReject>(LIST, [...values, limit]),
  }
}

const WAIVE: Statement = {
  name: 'waive_rejects',
  text: `
update provenance.reject set state = 'waived'
 where state = 'open' and reject_id in (select r.reject_id ${SELECTED})
returning reject_id as "rejectId"`,
}

/**
 * Lets the open ones go: they stay where they are, with their records, and are no reason to worry any more. The sweep
 * closes the alert once none is open. Returns how many there were.
 */
export async function waiveRejects(
  db: Database,
  selection: RejectSelection,
  { subject, actor, reason }: { readonly subject: string; readonly actor: string; readonly reason: string },
): Promise<number> {
  const { streamIds, sourceIngestId, code } = selection
  return db.transaction(async (tx) => {
    const waived = await tx.query<{ rejectId: number }>(WAIVE, [streamIds, sourceIngestId, code])
    if (waived.length === 0) return 0
    const rejects = waived.map(({ rejectId }) => rejectId).sort((a, b) => a - b)
    await recordAudit(tx, { actor, action: 'waive_rejects', subject, after: { reason, code, rejects } })
    return waived.length
  })
}

/** Place of a record in the pages of its ingest. */
export type RecordPlace = { readonly pageNo: number; readonly ordinal: number }

const KNOWN: Statement = {
  name: 'known_rejects',
  text: `
select source_ingest_id as "sourceIngestId", page_no as "pageNo", ordinal, state
  from provenance.reject where source_ingest_id = any($1::uuid[])
 order by source_ingest_id, page_no, ordinal`,
}

export type KnownReject = RecordPlace & { readonly sourceIngestId: string; readonly state: RejectState }

/** Every reject of these ingests, whatever became of it. */
export async function readKnownRejects(
  db: Queryable,
  sourceIngestIds: readonly string[],
): Promise<readonly KnownReject[]> {
  return db.query<KnownReject>(KNOWN, [sourceIngestIds])
}

// A record that a person waived and that fits now is replayed too: its row is there.
const MARK_REPLAYED: Statement = {
  name: 'mark_rejects_replayed',
  text: `
update provenance.reject r set state = 'replayed'
  from jsonb_to_recordset($1::jsonb) as f (id uuid, page_no int, ordinal int)
 where r.source_ingest_id = f.id and r.page_no = f.page_no and r.ordinal = f.ordinal and r.state <> 'replayed'
returning r.reject_id as "rejectId"`,
}

const OPEN_NEW: Statement = {
  name: 'open_new_rejects',
  text: `
insert into provenance.reject as r (source_ingest_id, page_no, ordinal, code, detail, record)
select n.id, n.page_no, n.ordinal, n.code, n.detail, n.record
  from jsonb_to_recordset($1::jsonb) as n (id uuid, page_no int, ordinal int, code text, detail text, record jsonb)
on conflict (source_ingest_id, page_no, ordinal) do update
   set state = 'open', code = excluded.code, detail = excluded.detail
 where r.state = 'replayed'
returning r.reject_id as "rejectId"`,
}

export type SettledRejects = { readonly replayed: number; readonly opened: number }

export type RejectChanges = {
  /** Records that were rejects, whose rows are curated now. */
  readonly fits: readonly (RecordPlace & { readonly sourceIngestId: string })[]
  /** Records that no longer fit: their rows are in no file any more. */
  readonly broken: readonly (Reject & RecordPlace & { readonly sourceIngestId: string })[]
}

/** Once files were made again with another transform: what that changed for rejects, with an audit row. */
export async function settleRejects(
  db: Database,
  { fits, broken }: RejectChanges,
  { subject, actor }: { readonly subject: string; readonly actor: string },
): Promise<SettledRejects> {
  if (fits.length + broken.length === 0) return { replayed: 0, opened: 0 }
  const place = ({ sourceIngestId, pageNo, ordinal }: RecordPlace & { readonly sourceIngestId: string }) => ({
    id: sourceIngestId,
    page_no: pageNo,
    ordinal,
  })
  const added = broken.map(({ code, detail, record, ...at }) => ({ ...place(at), code, detail, record }))
  return db.transaction(async (tx) => {
    const replayed = await tx.query(MARK_REPLAYED, [JSON.stringify(fits.map(place))])
    const opened = await tx.query(OPEN_NEW, [storableJson(added)])
    const settled = { replayed: replayed.length, opened: opened.length }
    if (settled.replayed + settled.opened > 0) {
      await recordAudit(tx, { actor, action: 'replay_rejects', subject, after: settled })
    }
    return settled
  })
}

/** Exactly one of the two says what is meant. Throws ConfigError. */
export function checkOneSelection(stream: string | undefined, ingest: string | undefined): void {
  if ((stream === undefined) !== (ingest === undefined)) return
  const came = stream === undefined ? 'neither' : 'both'
  throw new ConfigError([`rejects: expected a stream or --ingest, got ${came}`])
}
