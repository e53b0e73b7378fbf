import type { Instant } from '../../../instant.ts'
import type { Queryable, Statement } from '../../../postgres/database.ts'

/** A stream that has curated files: what all of them hold together, and the newest one. */
export type CuratedStream = {
  readonly streamId: number
  readonly source: string
  readonly dataset: string
  /** Subject and timeframe, as ingestion names the target. */
  readonly table: string
  readonly files: number
  readonly rows: number
  readonly bytes: number
  readonly minTs: Instant | null
  readonly maxTs: Instant | null
  readonly path: string
  readonly fileBytes: number
  readonly etag: string
  readonly contractVersion: number
  readonly transformVersion: number
}

const PAGE_STREAMS = 200

// Newest by contract and transform, then by the time of its rows: while files are rebuilt one after the other, or old
// windows are filled, the answer stays the same.
const STREAMS: Statement = {
  name: 'catalog_streams',
  text: `
select s.stream_id as "streamId", s.source, s.dataset, concat_ws('/', s.subject, s.timeframe) as "table",
       held.files, held.rows, held.bytes, held.min_ts as "minTs", held.max_ts as "maxTs",
       newest.path, newest.bytes as "fileBytes", newest.etag, newest.contract_version as "contractVersion",
       newest.transform_version as "transformVersion"
  from (select s.stream_id, s.source, s.dataset, s.subject, s.timeframe
          from ingest.stream s
         where s.stream_id > $1::bigint
           and exists (select from curated.partition p where p.stream_id = s.stream_id)
         order by s.stream_id
         limit $2::int) s
 cross join lateral (
   select count(*) as files, sum(p.rows)::bigint as rows, sum(p.bytes)::bigint as bytes,
          min(p.min_ts) as min_ts, max(p.max_ts) as max_ts
     from curated.partition p
    where p.stream_id = s.stream_id) held
 cross join lateral (
   select p.path, p.bytes, p.etag, p.contract_version, p.transform_version
     from curated.partition p
    where p.stream_id = s.stream_id
    order by p.contract_version desc, p.transform_version desc, p.max_ts desc nulls last, p.partition_key desc
    limit 1) newest
 order by s.stream_id`,
}

/** Every stream with curated files, a page at a time; one that comes while they are read may be among them. */
export async function* curatedStreams(db: Queryable, pageStreams = PAGE_STREAMS): AsyncGenerator<CuratedStream> {
  let after = 0
  for (;;) {
    const page = await db.query<CuratedStream>(STREAMS, [after, pageStreams])
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < pageStreams) return
    after = last.streamId
  }
}
