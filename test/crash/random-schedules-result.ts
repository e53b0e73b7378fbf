import { fsck } from '../../shared/ops/fsck/fsck.ts'
import { lakeState, readLake } from '../support/lake-state.ts'
import { filesUnlikeTheirRaw } from '../support/rebuilt-files.ts'
import type { Lake } from './random-schedules-lake.ts'

/** What must be the same however it came about, part by part. */
export type ScheduleResult = Readonly<Record<string, unknown>>

// A window's rows may be brought by the rebuild of another that found it listed while the file was missing: then they are
// counted as unchanged, not as inserted, and the sum is what must hold.
// How often windows are read again depends on when a lookback finds them published: only that each is accounted for is
// the same in all runs.
const WINDOWS = `
select concat_ws(' ', s.subject, i.lo::date, i.hi::date, i.state, i.pages, i.records,
                 i.inserted + i.updated + i.unchanged + i.superseded, i.rejected, i.outside) as window
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.lane = 'live' order by s.subject, i.lo, i.source_ingest_id`

// Volumes are what the provider corrects: a window may have been read before or after.
const REJECTS = `
select concat_ws(' ', s.subject, i.lo::date, r.page_no, r.ordinal, r.code, r.detail, (r.record - 'v')::text) as reject
  from provenance.reject r join provenance.source_ingest i using (source_ingest_id) join ingest.stream s using (stream_id)
 where i.lane = 'live' order by s.subject, i.lo, r.page_no, r.ordinal, r.reject_id`

// An ingest may have failed before and be replayed: that end was told too.
const TOLD = `
select concat_ws(' ', r.kind, r.job_id, r.outcome, r.window_start::date, r.window_end::date, r.body #>> '{payload,records}',
                 count(*)) as told
  from metadata.record r join provenance.source_ingest i on i.source_ingest_id::text = r.run_id
 where i.lane = 'live' and r.outcome is distinct from 'fail'
 group by r.kind, r.job_id, r.outcome, r.window_start, r.window_end, r.body #>> '{payload,records}'
 order by r.kind, r.job_id, r.window_start`

// Of every lane: one volume and one good end for each ingest that came through.
const TOLD_OTHERWISE = `
select i.lane || ' ' || i.state as ingest, count(*) filter (where r.kind = 'ingestion_volume') as volumes,
       count(*) filter (where r.kind = 'ingestion_runtime' and r.outcome = 'pass') as ends
  from provenance.source_ingest i left join metadata.record r on r.run_id = i.source_ingest_id::text
 group by i.source_ingest_id, i.lane, i.state
having count(*) filter (where r.kind = 'ingestion_volume') <> case when i.state in ('published', 'empty') then 1 else 0 end
    or count(*) filter (where r.kind = 'ingestion_runtime' and r.outcome = 'pass')
       <> case when i.state in ('published', 'empty') then 1 else 0 end`

const NOT_MOVED = `
select (select count(*) from metadata.outbox) as outbox, (select count(*) from metadata.reject) as rejects,
       (select count(*) from metadata.record r cross join metadata.consumer c where (r.xid, r.seq) > (c.xid, c.seq)) as behind`

export async function readResult({ platform, query }: Lake): Promise<ScheduleResult> {
  const { partitions, fetched, published, unfinished } = await lakeState(platform)
  const report = await fsck(platform, {
    deep: false,
    signal: new AbortController().signal,
    onFinding: () => undefined,
  })
  return {
    partitions,
    fetched,
    published,
    unfinished,
    windows: await query(WINDOWS),
    rejects: await query(REJECTS),
    told: await query(TOLD),
    toldOtherwise: await query(TOLD_OTHERWISE),
    notMoved: await query(NOT_MOVED),
    lake: await readLake(platform),
    unlikeRaw: await filesUnlikeTheirRaw(platform),
    // What an attempt left that never landed is explained, and no damage.
    fsck: { findings: report.findings, inFlight: report.inFlight },
  }
}

/** Part by part, what `is` and what it `was` in the undisturbed run. */
export function differencesOf(is: ScheduleResult, was: ScheduleResult): readonly string[] {
  return Object.keys(was).flatMap((part) => {
    const [now, then] = [JSON.stringify(is[part]), JSON.stringify(was[part])]
    return now === then ? [] : [`${part} ${now} instead of ${then}`]
  })
}
