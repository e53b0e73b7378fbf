import { type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { ProviderSource } from '../../sources/contract.ts'
import type { StreamWindows } from './windows.ts'

/** Ingests looked at per stream. The largest of them: a window of minutes asks once for what is a page of hours. */
const NEWEST_INGESTS = 1_000
const LARGEST_INGESTS = 50
/** Streams of the same kind that are looked at where one has no history of its own. */
const STREAMS_ALIKE = 20

const seen = (streamId: string) => `
  select sum(pages)::float8 as calls, sum(body_bytes)::float8 as bytes, sum(extract(epoch from hi - lo))::float8 as seconds
    from (select n.*
            from (select pages, body_bytes, lo, hi
                    from provenance.source_ingest
                   where stream_id = ${streamId} and lo is not null and state in ('published', 'empty')
                   order by planned_at desc limit ${NEWEST_INGESTS}) n
           order by n.hi - n.lo desc limit ${LARGEST_INGESTS}) i`

const OF_STREAMS: Statement = {
  name: 'seen_of_streams',
  text: `
select s.stream_id as "streamId", seen.*
  from ingest.stream s, lateral (${seen('s.stream_id')}) seen
 where s.stream_id = any($1::bigint[]) and seen.seconds > 0`,
}

const OF_STREAMS_ALIKE: Statement = {
  name: 'seen_of_streams_alike',
  text: `
select s.stream_id as "streamId", sum(seen.calls) as calls, sum(seen.bytes) as bytes, sum(seen.seconds) as seconds
  from ingest.stream s,
       lateral (select o.stream_id
                  from ingest.stream o
                 where (o.source, o.dataset) = (s.source, s.dataset) and o.timeframe is not distinct from s.timeframe
                   and not isempty(o.published)
                 order by o.stream_id limit ${STREAMS_ALIKE}) alike,
       lateral (${seen('alike.stream_id')}) seen
 where s.stream_id = any($1::bigint[])
 group by s.stream_id
having sum(seen.seconds) > 0`,
}

type Seen = { readonly streamId: number; readonly calls: number; readonly bytes: number; readonly seconds: number }

/** What an estimate rests on: ingests of the stream itself, of others of its source and timeframe, or on nothing. */
export type EstimateBasis = 'stream' | 'source' | 'none'

export type PlannedStream = {
  readonly stream: string
  readonly windows: number
  readonly lo: Instant
  readonly hi: Instant
  readonly calls: number
  readonly bytes: number | null
  readonly basis: EstimateBasis
}

export type BackfillEstimate = {
  /** One per window at least: all that is known where nothing was ingested yet. */
  readonly calls: number
  /** Null where there is a stream of which nothing is known. */
  readonly bytes: number | null
  /** Under the quotas alone, whichever takes longest, and as if live used nothing of them. */
  readonly minutes: number
}

/** What a plan will ask of the providers, from what earlier ingests of its streams did. */
export async function estimateBackfill(
  db: Queryable,
  planned: readonly StreamWindows[],
  providers: ReadonlyMap<number, ProviderSource>,
): Promise<{ readonly streams: readonly PlannedStream[]; readonly estimate: BackfillEstimate }> {
  const ids = planned.map(({ stream }) => stream.streamId)
  const own = byStream(await db.query<Seen>(OF_STREAMS, [ids]))
  const others = ids.filter((id) => !own.has(id))
  const alike = byStream(others.length === 0 ? [] : await db.query<Seen>(OF_STREAMS_ALIKE, [others]))
  const seconds = new Map<string, number>()
  const streams = planned.map(({ stream, windows }) => {
    const { streamId, name } = stream
    const guess = estimate(windows, own.get(streamId) ?? alike.get(streamId))
    const budget = providers.get(streamId)?.budget
    if (budget) seconds.set(budget.key, (seconds.get(budget.key) ?? 0) + guess.calls / budget.refillPerS)
    const basis: EstimateBasis = own.has(streamId) ? 'stream' : alike.has(streamId) ? 'source' : 'none'
    const [first, last] = [windows[0], windows.at(-1)]
    return {
      stream: name,
      windows: windows.length,
      lo: first?.lo ?? stream.origin,
      hi: last?.hi ?? stream.origin,
      ...guess,
      basis,
    }
  })
  const known = streams.every(({ bytes }) => bytes !== null)
  return {
    streams,
    estimate: {
      calls: streams.reduce((sum, { calls }) => sum + calls, 0),
      bytes: known ? streams.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0) : null,
      minutes: Math.ceil(Math.max(0, ...seconds.values()) / 60),
    },
  }
}

function estimate(windows: StreamWindows['windows'], seen: Seen | undefined) {
  if (seen === undefined) return { calls: windows.length, bytes: null }
  let calls = 0
  let bytes = 0
  for (const { lo, hi } of windows) {
    const share = Number((hi - lo) / MICROS_PER_SECOND) / seen.seconds
    calls += Math.max(1, Math.ceil(share * seen.calls - 1e-6))
    bytes += share * seen.bytes
  }
  return { calls, bytes: Math.round(bytes) }
}

const byStream = (rows: readonly Seen[]) => new Map(rows.map((row) => [row.streamId, row]))
