import { PermanentError } from '../../../../shared/errors.ts'
import type { Instant } from '../../../../shared/instant.ts'
import { type ConsumerLag, type FeedPosition, feedLag } from '../../../../shared/metadata/feed/feed.ts'
import type { Queryable, Statement } from '../../../../shared/postgres/database.ts'

/** Of the end of the feed: whoever looks for older records of a tenant or kind reads from a cursor. */
const SCAN_MAX = 20_000

// Of a row, the place before it; where there are not so many, of the first one that was looked at.
const BEFORE_LAST: Statement = {
  name: 'position_before_last_of_metadata_feed',
  text: `
with last as materialized (
  select r.xid, r.seq, r.tenant_no, r.kind
    from metadata.record r
   where r.xid < pg_snapshot_xmin(pg_current_snapshot())
   order by r.xid desc, r.seq desc
   limit ${SCAN_MAX}
), wanted as (
  select l.xid, l.seq from last l
   where ($2::text is null or l.tenant_no = (select n.tenant_no from metadata.tenant n where n.tenant = $2::text))
     and ($3::text is null or l.kind = $3::text)
   order by l.xid desc, l.seq desc
   limit $1::int
)
select f.generation::text, coalesce(p.xid, '0'::xid8)::text as xid, coalesce(p.seq - 1, 0)::text as seq
  from metadata.feed f
  left join (
    select w.xid, w.seq from (
      (select xid, seq from wanted order by xid, seq limit 1)
      union all
      (select xid, seq from last where not exists (select from wanted) order by xid desc, seq desc limit 1)) w) p on true`,
}

/** Where to read on to see the last `records` that there are now. */
export async function positionBeforeLast(
  db: Queryable,
  records: number,
  { tenant, kind }: { readonly tenant: string | null; readonly kind: string | undefined },
): Promise<FeedPosition> {
  const [position] = await db.query<FeedPosition>(BEFORE_LAST, [records, tenant, kind ?? null])
  if (position === undefined) throw new PermanentError('metadata.feed: expected one row, got none')
  return position
}

const GENERATION: Statement = {
  name: 'generation_of_metadata_feed',
  text: `select generation::text, started_at as "startedAt" from metadata.feed`,
}

const CONSUMERS: Statement = {
  name: 'list_metadata_consumers',
  text: `
select c.consumer, c.xid::text, c.seq::text, c.epoch, c.updated_at as "updatedAt",
       case when c.lease_expires_at > now() then c.lease_expires_at end as "leasedUntil",
       c.generation <> f.generation as "beginsAnew"
  from metadata.consumer c
 cross join metadata.feed f
 order by c.consumer`,
}

export type ConsumerFacts = ConsumerLag & {
  readonly xid: string
  readonly seq: string
  readonly epoch: number
  readonly updatedAt: Instant
  /** Null: nobody is at work for it. */
  readonly leasedUntil: Instant | null
  /** Its cursor is of an earlier generation. */
  readonly beginsAnew: boolean
}

export async function readConsumers(db: Queryable): Promise<readonly ConsumerFacts[]> {
  const rows = await db.query<Omit<ConsumerFacts, 'rows' | 'seconds'>>(CONSUMERS)
  const { consumers } = await feedLag(db)
  const lags = new Map(consumers.map((lag) => [lag.consumer, lag]))
  return rows.map((row) => ({ ...row, rows: 0, seconds: 0, ...lags.get(row.consumer) }))
}

export type FeedFacts = {
  readonly generation: string
  readonly startedAt: Instant
  readonly heldBackSeconds: number
  readonly consumers: readonly ConsumerLag[]
}

export async function readFeedFacts(db: Queryable): Promise<FeedFacts> {
  const [feed] = await db.query<Pick<FeedFacts, 'generation' | 'startedAt'>>(GENERATION)
  if (feed === undefined) throw new PermanentError('metadata.feed: expected one row, got none')
  const { consumers, heldBackSeconds } = await feedLag(db)
  return { ...feed, heldBackSeconds, consumers }
}
