import { formatInstant, type Instant } from '../../instant.ts'
import type { Statement } from '../../postgres/database.ts'
import { damage, type Finding, type FsckContext } from './finding.ts'

// As `landed` proves it: pages 0…n−1, each asked for with the token that the one before named, only the last one final,
// and together the pages and records that were counted then.
const WHOLE = `
(select coalesce(bool_and(page.page_no = page.position - 1 and page.record_count is not null
                          and page.token_sha256 is not distinct from page.expected_token
                          and page.is_last = (page.position = page.of_pages)), false)
        and count(*) = i.pages and sum(page.record_count) = i.records
   from (select p.*, row_number() over w as position, count(*) over () as of_pages,
                lag(p.next_token_sha256) over w as expected_token
           from provenance.raw_page p
          where p.source_ingest_id = i.source_ingest_id and p.epoch = i.landed_epoch
         window w as (order by p.page_no)) page)`

// I6 once more, and rejects: more of them may have come with a later transform, never fewer.
const INGESTS: Statement = {
  name: 'fsck_ingests',
  text: `
with chunk as materialized (
  select i.* from provenance.source_ingest i
   where i.source_ingest_id > $1::uuid and i.landed_epoch is not null
   order by i.source_ingest_id limit $2::int
), judged as (
  select i.source_ingest_id, i.state, i.records, ${WHOLE} as whole,
         (select count(*) from provenance.raw_page p
           where p.source_ingest_id = i.source_ingest_id and p.epoch = i.landed_epoch) as pages_found, i.pages,
         i.state in ('published', 'empty')
           and (i.records is distinct from i.inserted + i.updated + i.unchanged + i.superseded + i.rejected + i.outside
                or (select count(*) from provenance.reject r where r.source_ingest_id = i.source_ingest_id) < i.rejected)
           as miscounted,
         concat_ws(' + ', i.inserted, i.updated, i.unchanged, i.superseded, i.rejected, i.outside) as counts
    from chunk i
)
select (select count(*) from chunk) as looked,
       (select source_ingest_id from chunk order by source_ingest_id desc limit 1) as last, j.source_ingest_id as id,
       j.state, j.records, not j.whole as broken, j.pages_found as "pagesFound", j.pages, j.miscounted, j.counts
  from (select) one left join judged j on j.miscounted or not j.whole
 order by j.source_ingest_id`,
}

type Judged = {
  readonly looked: number
  readonly last: string | null
  readonly id: string | null
  readonly state: string
  readonly records: number
  readonly broken: boolean
  readonly pagesFound: number
  readonly pages: number
  readonly miscounted: boolean
  readonly counts: string
}

const CHUNK = 1_000

/** Every ingest that landed: its pages are still a complete chain, and its records are accounted for. */
export async function* checkIngests({
  platform,
  signal,
  checked,
  brokenIngests,
}: FsckContext): AsyncGenerator<Finding> {
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    signal.throwIfAborted()
    const judged = await platform.db.query<Judged>(INGESTS, [after, CHUNK])
    const [first] = judged
    checked.ingests += first?.looked ?? 0
    for (const one of judged) {
      if (one.id === null) continue
      const place = `ingest ${one.id}`
      if (one.broken) {
        brokenIngests.add(one.id)
        const detail = `${one.state}: expected a complete chain of ${one.pages} pages with ${one.records} records, got ${one.pagesFound} pages that are none`
        const advice = 'a page that is in the lake comes back with --repair; else read its window again'
        yield damage({ kind: 'pages_incomplete', place, detail, repair: null, advice })
      }
      if (one.miscounted) {
        const detail = `expected its ${one.records} records to be accounted for, got ${one.counts || 'no counts'}`
        const advice = 'its files can be proven: tributary verify --rebuild'
        yield damage({ kind: 'counts_differ', place, detail, repair: null, advice })
      }
    }
    if (first === undefined || first.last === null || first.looked < CHUNK) return
    after = first.last
  }
}

const STREAMS: Statement = {
  name: 'fsck_streams',
  text: `
select stream_id as "streamId", concat_ws('/', source, dataset, subject, timeframe) as name
  from ingest.stream order by name`,
}

const UNPROVEN: Statement = {
  name: 'fsck_unproven_coverage',
  text: `
with whole as (
  select i.state, tstzrange(i.lo, i.hi) as window
    from provenance.source_ingest i
   where i.stream_id = $1::bigint and i.lo is not null and i.landed_epoch is not null and ${WHOLE}
), unproven as (
  select 'fetched' as coverage, s.fetched - coalesce((select range_agg(w.window) from whole w), '{}') as ranges
    from ingest.stream s where s.stream_id = $1::bigint
  union all
  select 'published', s.published - coalesce((select range_agg(w.window) from whole w
                                               where w.state in ('published', 'empty')), '{}')
    from ingest.stream s where s.stream_id = $1::bigint
)
select coverage, lower(r) as lo, upper(r) as hi from unproven, unnest(ranges) as r order by lo, coverage limit 1000`,
}

type Unproven = { readonly coverage: 'fetched' | 'published'; readonly lo: Instant; readonly hi: Instant }

/** Time that counts as known although no ingest with all of its pages says so (I1). */
export async function* checkCoverage({ platform, signal, checked }: FsckContext): AsyncGenerator<Finding> {
  for (const { streamId, name } of await platform.db.query<{ streamId: number; name: string }>(STREAMS)) {
    signal.throwIfAborted()
    checked.streams++
    for (const { coverage, lo, hi } of await platform.db.query<Unproven>(UNPROVEN, [streamId])) {
      const [from, to] = [formatInstant(lo), formatInstant(hi)]
      yield damage({
        kind: 'coverage_unproven',
        place: name,
        detail: `${coverage} ${from} … ${to}: expected ingests with all of their pages, there are none`,
        repair: null,
        advice: `read it again: tributary backfill plan --stream ${name} --from ${from} --to ${to} --again`,
      })
    }
  }
}
