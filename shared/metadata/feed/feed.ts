import { z } from 'zod'
import { PermanentError } from '../../errors.ts'
import { type Instant, parseInstant } from '../../instant.ts'
import { sample } from '../../json.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { readCursor, writeCursor } from '../model/cursor.ts'
import { normalInstant } from '../model/instant-text.ts'
import type { MetadataRecord } from '../model/record.ts'
import { QueryError } from '../model/repository.ts'
import type { ByPerson } from '../outbox/rejects.ts'
import { type StoredRow, toRecord } from '../postgres/stored-row.ts'
import { FEED_LAG, HELD_BACK, READ_FEED, READ_FEED_OF, RENUMBER_FEED, RESTART_FEED } from './feed-statements.ts'
import { DAY, logPath } from './log-hour.ts'

/** A place in the feed: text of uuid, xid8 and bigint. */
export type FeedPosition = {
  readonly generation: string
  readonly xid: string
  readonly seq: string
  /**
   * RFC 3339: what follows could not be read before this instant, and was stored at most a transaction's life before it.
   * Tells whether something of it was compacted since, and the hour of the log that it is in. Absent where the feed keeps
   * what follows: nothing is compacted that a consumer has not read.
   */
  readonly asOf?: string
}

export type FeedFilter = { readonly tenant: string | null; readonly kind?: string | undefined }

export type FedRecord = {
  readonly tenant: string
  readonly record: MetadataRecord
  /** To go on behind it. */
  readonly position: FeedPosition
}

export type FeedPage = {
  readonly records: readonly FedRecord[]
  /** Where to go on, also when the page is empty. */
  readonly position: FeedPosition
  /** By the database's clock. */
  readonly readAt: Instant
  /** Nothing that could be read is behind `position`; what comes later is. */
  readonly end: boolean
}

export type FeedRequest = FeedFilter & {
  /** Null: from the first record that is hot. */
  readonly after: FeedPosition | null
  readonly limit: number
}

/** What follows a position is not, or not wholly, in the feed any more. */
export class FeedGoneError extends Error {
  override readonly name = 'FeedGoneError'
  readonly code = 'feed-gone'
  /** Path of the hour of the log to go on from; null: the log's first. */
  readonly logHour: string | null

  constructor(message: string, { asOf }: FeedPosition) {
    const at = asOf === undefined ? undefined : parseInstant(asOf)
    // A day earlier: `asOf` may be up to a day later than what follows it.
    const logHour = at === undefined ? null : logPath(at - DAY)
    super(`${message}; go on from ${logHour ?? 'the first hour'} of the log`)
    this.logHour = logHour
  }
}

/** A position that no page has named yet: of another database, or made up. */
export class FeedAheadError extends Error {
  override readonly name = 'FeedAheadError'
  readonly code = 'feed-ahead'
}

export const FEED_LIMIT_MAX = 5_000
/** Rows that one page looks at where it filters. */
const SCAN_MAX = 5_000

const pageFacts = z.object({
  generation: z.uuid(),
  horizon: z.string(),
  readAt: normalInstant,
  gone: z.boolean(),
  /** Whatever was compacted until now was compacted before this page was read. */
  hotFrom: normalInstant.nullable(),
  /** The last row that was looked at, where more follow. */
  scannedXid: z.string().nullish(),
  scannedSeq: z.string().nullish(),
  scannedStoredAt: normalInstant.nullish(),
})
type PageFacts = z.output<typeof pageFacts>

type RecordRow = StoredRow & { readonly xid: string; readonly seq: string }
type FeedRow = { readonly page: string } & (RecordRow | { readonly recordId: null })

/**
 * Stored records in the order in which they became readable, each once: nothing is skipped, whatever transactions were
 * open when it was stored. Records of open transactions, and all that were stored after the first of these began, come
 * later. Throws FeedGoneError, FeedAheadError, QueryError.
 */
export async function readFeed(db: Queryable, { tenant, kind, after, limit }: FeedRequest): Promise<FeedPage> {
  if (!Number.isInteger(limit) || limit < 1 || limit > FEED_LIMIT_MAX) {
    throw new QueryError('invalid-query', `limit: expected a whole number from 1 to ${FEED_LIMIT_MAX}, got ${limit}`)
  }
  const position = [after?.xid ?? '0', after?.seq ?? '0', after?.asOf ?? null]
  const rows =
    tenant === null && kind === undefined
      ? await db.query<FeedRow>(READ_FEED, [...position, limit])
      : await db.query<FeedRow>(READ_FEED_OF, [...position, limit, SCAN_MAX, tenant, kind ?? null])
  const [first] = rows
  if (first === undefined) throw new PermanentError('metadata.feed: expected one row, got none')
  const page = pageFacts.parse(JSON.parse(first.page))
  if (after !== null) checkPosition(after, page)
  const records = rows.flatMap((row) => (row.recordId === null ? [] : [fedRecord(row, page)])).sort(byPosition)
  const readAt = instantOf(page.readAt)
  return { records, readAt, ...whereToGoOn(page, records, limit) }
}

function whereToGoOn(
  page: PageFacts,
  records: readonly FedRecord[],
  limit: number,
): Pick<FeedPage, 'position' | 'end'> {
  const last = records.at(-1)
  if (last !== undefined && records.length === limit) return { position: last.position, end: false }
  const { generation, horizon, readAt, scannedXid, scannedSeq, scannedStoredAt } = page
  if (scannedXid && scannedSeq && scannedStoredAt) {
    const asOf = asOfPage(scannedStoredAt, page)
    return { position: { generation, xid: scannedXid, seq: scannedSeq, asOf }, end: false }
  }
  // No row of a transaction below the horizon can come any more; numbers within one begin at 1.
  return { position: { generation, xid: horizon, seq: '0', asOf: readAt }, end: true }
}

function checkPosition(after: FeedPosition, { generation, horizon, gone }: PageFacts): void {
  if (after.generation !== generation) {
    throw new FeedGoneError(`feed: expected a position of generation ${generation}, got ${after.generation}`, after)
  }
  if (gone) throw new FeedGoneError(`feed: expected a position whose records are hot, got ${after.asOf}`, after)
  const [xid, open] = [BigInt(after.xid), BigInt(horizon)]
  if (xid > open || (xid === open && after.seq !== '0')) {
    throw new FeedAheadError(`feed: expected a position up to ${horizon}, got ${after.xid}`)
  }
}

/**
 * A latest record stays hot below the boundary, and is read with what is compacted around it missing: whoever reads it
 * now has missed nothing since. Judged by its own time, the next page would be gone for ever. Of fixed width: texts
 * compare as instants do.
 */
function asOfPage(storedAt: string, { hotFrom }: PageFacts): string {
  return hotFrom !== null && hotFrom > storedAt ? hotFrom : storedAt
}

function fedRecord(row: RecordRow, page: PageFacts): FedRecord {
  const record = toRecord(row)
  const { xid, seq } = row
  const position = { generation: page.generation, xid, seq, asOf: asOfPage(record.storedAt, page) }
  return { tenant: record.context.environment.tenant, record, position }
}

function byPosition({ position: a }: FedRecord, { position: b }: FedRecord): number {
  return compareNumbers(a.xid, b.xid) || compareNumbers(a.seq, b.seq)
}

/** Of unsigned numbers as text, without leading zeros. */
function compareNumbers(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}

function instantOf(text: string): Instant {
  const instant = parseInstant(text)
  if (instant === undefined) throw new PermanentError(`feed: expected an instant of the database, got ${text}`)
  return instant
}

const unsigned = (max: bigint) =>
  z
    .string()
    .regex(/^\d{1,20}$/)
    .refine((text) => BigInt(text) <= max)

const positionParts = z.tuple([z.uuid(), unsigned(2n ** 64n - 1n), unsigned(2n ** 63n - 1n), normalInstant.optional()])

/** For whoever reads over HTTP. It fits only the same filter. */
export function writeFeedCursor({ generation, xid, seq, asOf }: FeedPosition, filter: FeedFilter): string {
  return writeCursor(requestOf(filter), [generation, xid, seq, ...(asOf === undefined ? [] : [asOf])])
}

/** Throws QueryError. */
export function readFeedCursor(text: string, filter: FeedFilter): FeedPosition {
  const parts = positionParts.safeParse(readCursor(text, requestOf(filter)))
  if (!parts.success) {
    throw new QueryError('malformed-cursor', `cursor: expected one that the feed named, got ${sample(text, 40)}`)
  }
  const [generation, xid, seq, asOf] = parts.data
  return { generation, xid, seq, ...(asOf !== undefined && { asOf }) }
}

function requestOf({ tenant, kind }: FeedFilter) {
  return { feed: { tenant, kind: kind ?? null } }
}

/**
 * After the database was restored: positions of before say nothing about it. Old cursors are refused from now on, and
 * consumers begin again at the first record that is hot.
 */
export function restartFeed(db: Database, by: ByPerson): Promise<{ readonly generation: string }> {
  return db.transaction(async (tx) => {
    const [row] = await tx.query<{ generation: string; before: string }>(RESTART_FEED)
    if (row === undefined) throw new PermanentError('metadata.feed: expected one row, got none')
    await tx.query(RENUMBER_FEED)
    const after = { generation: row.generation, reason: by.reason }
    const before = { generation: row.before }
    await recordAudit(tx, { actor: by.actor, action: 'restart_metadata_feed', subject: 'metadata.feed', before, after })
    return { generation: row.generation }
  })
}

export type ConsumerLag = {
  readonly consumer: string
  /** Records that it has not read yet; counted up to 10,000. */
  readonly rows: number
  /** Age of the first of them; 0 where there is none. */
  readonly seconds: number
}

export type FeedLag = {
  readonly consumers: readonly ConsumerLag[]
  /** Age of the first record that nobody can read yet: some transaction of this server is open for as long. */
  readonly heldBackSeconds: number
  /** The greatest of all. */
  readonly seconds: number
}

/** How far behind the feed and its consumers are, what nobody can read yet included. */
export async function feedLag(db: Queryable): Promise<FeedLag> {
  const rows = await db.query<{ consumer: string; rows: number; seconds: number | null }>(FEED_LAG)
  const [held] = await db.query<{ seconds: number | null }>(HELD_BACK)
  const consumers = rows.map(({ consumer, rows, seconds }) => ({ consumer, rows, seconds: seconds ?? 0 }))
  const heldBackSeconds = held?.seconds ?? 0
  return { consumers, heldBackSeconds, seconds: Math.max(heldBackSeconds, ...consumers.map(({ seconds }) => seconds)) }
}
