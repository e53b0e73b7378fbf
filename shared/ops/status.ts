import { formatDuration } from '../duration.ts'
import { DatabaseUnavailableError } from '../errors.ts'
import { goneOf } from '../ingest/plan/retention.ts'
import { formatInstant, type Instant, parseInstant } from '../instant.ts'
import type { Platform } from '../platform.ts'
import type { Queryable, Statement } from '../postgres/database.ts'
import type { InstantRange } from '../postgres/types.ts'

/** Holes shown per stream; more are counted by the alerts. */
const HOLES_MAX = 100
const LEAST_FINISHED = `array['planned', 'landing', 'landed', 'curating', 'failed', 'quarantined', 'cancelled']`

// A hole is what lies behind the newest planned end and is neither published nor accepted. Where an ingest stands in
// it, its state says why; the rest waits for the planner, a backfill or a person. A null reason: it is older than what
// the provider keeps, wherever the planner came to.
//
// A lookback is all pieces that one run planned for a stream, in one transaction: they share the instant of it, and the
// halves of one that was split have it too.
//
// What is of one stream is grouped once and joined: looked up for each stream in what all of them have, it took more
// than 200 s of ten thousand streams.
const STREAMS: Statement = {
  name: 'status_streams',
  text: `
with stream as (
  select s.*, s.published + s.accepted as done, upper(s.published) as head,
         greatest(upper(s.published), s.planned_until) as behind
    from ingest.stream s
), unfinished as (
  select i.stream_id, i.source_ingest_id, i.state, i.lo, i.hi, i.error_summary, i.next_attempt_at,
         coalesce(i.finished_at, i.started_at, i.planned_at) as changed_at
    from provenance.source_ingest i join stream s using (stream_id)
   where i.state in ('planned', 'landing', 'landed', 'curating', 'failed', 'quarantined') and i.lo is not null
     and not s.done @> tstzrange(i.lo, i.hi)
), explained as (
  select stream_id, range_agg(tstzrange(lo, hi)) as windows,
         (array_agg(error_summary order by changed_at desc) filter (where error_summary is not null))[1] as last_error
    from unfinished group by stream_id
), missing as (
  select s.stream_id, gone,
         case when s.origin < s.behind then tstzmultirange(tstzrange(s.origin, s.behind)) else '{}' end + gone - s.done
         - coalesce(e.windows, '{}') as ranges
    from stream s
    left join explained e using (stream_id)
    cross join lateral (select ${goneOf('s')} as gone) g
), hole as (
  select stream_id, lo, hi, source_ingest_id,
         state || case when error_summary is null then '' else ': ' || error_summary end as reason
    from unfinished
  union all
  select m.stream_id, lower(r), upper(r), null, null
    from missing m, unnest(m.ranges * m.gone) as r
  union all
  select m.stream_id, lower(r), upper(r), null,
         case when s.paused then 'paused: ' || s.paused_reason
              when s.history = 'backfill' then 'waits for a backfill'
              else 'not planned yet' end
    from missing m join stream s using (stream_id), unnest(m.ranges - m.gone) as r
), shown as (
  select stream_id,
         jsonb_agg(jsonb_build_object('lo', lo, 'hi', hi, 'reason', reason, 'sourceIngestId', source_ingest_id) order by lo) as holes
    from (select *, row_number() over (partition by stream_id order by lo) as place from hole) h
   where place <= ${HOLES_MAX}
   group by stream_id
)
select concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream, s.source, s.dataset, s.params, s.paused,
       s.paused_reason as "pausedReason", s.held_reason as "heldReason",
       ingest.checkpoint(s.origin, s.done) as checkpoint, s.head,
       extract(epoch from now() - s.head)::bigint as "freshnessSeconds", s.freshness_sla_s as "freshnessSlaSeconds",
       s.fetched, s.published, s.accepted,
       (select coalesce(sum(p.rows), 0)::bigint from curated.partition p where p.stream_id = s.stream_id) as rows,
       (select count(*) from curated.partition p where p.stream_id = s.stream_id) as files,
       coalesce(h.holes, '[]') as holes, e.last_error as "lastError",
       s.retention_s as "retentionS",
       (select jsonb_build_object(
                 'plannedAt', i.planned_at, 'finishedAt', case when bool_and(i.finished_at is not null) then max(i.finished_at) end,
                 'lo', min(i.lo), 'hi', max(i.hi),
                 'state', coalesce((array_agg(i.state order by array_position(${LEAST_FINISHED}, i.state))
                                      filter (where i.state not in ('published', 'empty')))[1], 'published'),
                 'inserted', coalesce(sum(i.inserted), 0), 'updated', coalesce(sum(i.updated), 0))
          from provenance.source_ingest i
         where i.stream_id = s.stream_id and i.lane = 'lookback' and i.error_class is distinct from 'split'
           and i.planned_at = (select max(n.planned_at) from provenance.source_ingest n
                                where n.stream_id = s.stream_id and n.lane = 'lookback')
         group by i.planned_at) as lookback
  from stream s
  left join shown h using (stream_id)
  left join explained e using (stream_id)
 order by s.source, s.dataset, s.subject, s.timeframe`,
}

const TOTALS: Statement = {
  name: 'status_totals',
  text: `
select now() as now,
       (select jsonb_object_agg(state, count) from (select state, count(*) from provenance.source_ingest group by state) i) as ingests,
       (select count(*) from provenance.reject r join provenance.source_ingest i using (source_ingest_id)
         where r.state = 'open' and i.superseded_by is null and i.withdrawn_at is null) as "openRejects",
       coalesce((select jsonb_agg(jsonb_build_object('kind', kind, 'severity', severity, 'subject', subject,
                                                     'openedAt', opened_at, 'detail', detail) order by opened_at)
                   from ops.alert where closed_at is null), '[]') as alerts`,
}

type StreamRow = {
  readonly stream: string
  readonly source: string
  readonly dataset: string
  readonly params: unknown
  readonly paused: boolean
  readonly pausedReason: string | null
  readonly heldReason: string | null
  readonly checkpoint: Instant
  readonly head: Instant | null
  readonly freshnessSeconds: number | null
  readonly freshnessSlaSeconds: number | null
  readonly fetched: readonly InstantRange[]
  readonly published: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
  readonly rows: number
  readonly files: number
  readonly holes: readonly { lo: string; hi: string; reason: string | null; sourceIngestId: string | null }[]
  readonly lastError: string | null
  readonly retentionS: number | null
  readonly lookback: Lookback | null
}

/** The newest lookback, all of its pieces together. */
type Lookback = {
  readonly plannedAt: string
  /** Null while a piece is under way. */
  readonly finishedAt: string | null
  readonly lo: string
  readonly hi: string
  /** `published` where every piece is published or empty; else the state of the least finished one. */
  readonly state: string
  readonly inserted: number
  readonly updated: number
}

type TotalsRow = {
  readonly now: Instant
  readonly ingests: Readonly<Record<string, number>> | null
  readonly openRejects: number
  readonly alerts: readonly {
    readonly kind: string
    readonly severity: string
    readonly subject: string
    readonly openedAt: string
    readonly detail: unknown
  }[]
}

const STATES_SHOWN = {
  planned: 0,
  landing: 0,
  landed: 0,
  curating: 0,
  published: 0,
  empty: 0,
  failed: 0,
  quarantined: 0,
  cancelled: 0,
}

/** What is ingested until when, what is missing, what failed and why. Instants are RFC 3339, ranges half-open. */
export async function readStatus(db: Queryable) {
  const [totals] = await db.query<TotalsRow>(TOTALS)
  const streams = await db.query<StreamRow>(STREAMS)
  return {
    now: totals === undefined ? null : formatInstant(totals.now),
    streams: streams.map(({ retentionS, lookback, ...stream }) => ({
      ...stream,
      checkpoint: formatInstant(stream.checkpoint),
      head: stream.head === null ? null : formatInstant(stream.head),
      fetched: stream.fetched.map(formatRange),
      published: stream.published.map(formatRange),
      accepted: stream.accepted.map(formatRange),
      holes: stream.holes.map(({ lo, hi, reason, sourceIngestId }) => ({
        lo: rfc3339(lo),
        hi: rfc3339(hi),
        reason: reason ?? `older than the provider keeps (${formatDuration(retentionS ?? 0)}): accept it`,
        sourceIngestId,
      })),
      lookback: lookback && {
        ...lookback,
        plannedAt: rfc3339(lookback.plannedAt),
        finishedAt: lookback.finishedAt && rfc3339(lookback.finishedAt),
        lo: rfc3339(lookback.lo),
        hi: rfc3339(lookback.hi),
      },
    })),
    ingests: { ...STATES_SHOWN, ...totals?.ingests },
    openRejects: totals?.openRejects ?? 0,
    alerts: (totals?.alerts ?? []).map((alert) => ({ ...alert, openedAt: rfc3339(alert.openedAt) })),
  }
}

export type Status = Awaited<ReturnType<typeof readStatus>>

function formatRange({ lo, hi }: InstantRange) {
  return { lo: formatInstant(lo), hi: formatInstant(hi) }
}

/** jsonb spells instants with an offset. */
function rfc3339(text: string): string {
  const instant = parseInstant(text)
  return instant === undefined ? text : formatInstant(instant)
}

/** 200 with the status, or 503 where the database does not answer. */
export async function statusResponse(
  platform: Platform,
): Promise<{ status: number; body: Status | { error: string } }> {
  try {
    return { status: 200, body: await readStatus(platform.db) }
  } catch (error) {
    if (!(error instanceof DatabaseUnavailableError)) throw error
    platform.log.error('status_unavailable', { error })
    return { status: 503, body: { error: 'the database does not answer' } }
  }
}
