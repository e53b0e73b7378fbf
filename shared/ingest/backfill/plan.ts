import { v7 as uuidv7 } from 'uuid'
import { partitionOf } from '../../curated/partition-path.ts'
import { ConfigError } from '../../errors.ts'
import { formatInstant, type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Platform } from '../../platform.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { ProviderSource } from '../../sources/contract.ts'
import { type SelectedStream, selectStreams } from '../plan/select-streams.ts'
import { type BackfillEstimate, estimateBackfill, type PlannedStream } from './estimate.ts'
import { type InTheWay, readMissing } from './missing.ts'
import { type LeftOut, lockLimits, rangeOf, type StreamLimits } from './range.ts'
import { checkStep, parseStep, type Step } from './step.ts'
import { cutWindows, type StreamWindows } from './windows.ts'

export type BackfillRequest = {
  /** Names of streams, * for any text. */
  readonly streams: readonly string[]
  /** Null: from the origin of each stream. */
  readonly from: Instant | null
  /** Null: up to where the lane live begins. */
  readonly to: Instant | null
  /** `1mo`, `1y`; null: as long as the source allows. */
  readonly step: string | null
  readonly newestFirst: boolean
  /** Also what is fetched or accepted. */
  readonly again: boolean
  /** Says what would be planned, and plans nothing. */
  readonly dryRun: boolean
  readonly actor: string
}

export type BackfillPlan = {
  /** Null where there is nothing to plan, or nothing was to be planned. */
  readonly backfillId: string | null
  readonly windows: number
  readonly streams: readonly PlannedStream[]
  readonly leftOut: readonly LeftOut[]
  readonly estimate: BackfillEstimate
}

/** A plan is made in one transaction, during which its streams are locked: 20,000 windows take about 3 s. */
const WINDOWS_MAX = 20_000
const WINDOWS_PER_INSERT = 2_000

const INSERT_BACKFILL: Statement = {
  name: 'insert_backfill',
  text: `
insert into ingest.backfill (backfill_id, selector, lo, hi, step, newest_first, again, requested_by)
values ($1::uuid, $2::jsonb, $3::timestamptz, $4::timestamptz, $5::text, $6::boolean, $7::boolean, $8::text)`,
}

const INSERT_WINDOWS: Statement = {
  name: 'insert_backfill_windows',
  text: `
insert into provenance.source_ingest
       (source_ingest_id, stream_id, lane, lo, hi, parameters, initiated_by, backfill_id)
select p.id, p.stream_id, 'backfill', p.lo, p.hi, s.params, $2::text, $3::uuid
  from jsonb_to_recordset($1::jsonb) as p (id uuid, stream_id bigint, lo timestamptz, hi timestamptz)
  join ingest.stream s using (stream_id)`,
}

/**
 * Plans what is missing of `[from, to)` as windows of one backfill: minus what is fetched, accepted or active, never
 * where the lane live works, never what the provider no longer keeps. What is left out is named. Throws ConfigError
 * where a person must change the request.
 */
export async function planBackfill(platform: Platform, request: BackfillRequest): Promise<BackfillPlan> {
  const { db, sources } = platform
  const step = request.step === null ? null : parseStep(request.step)
  if (request.from !== null && request.to !== null && request.from >= request.to) {
    throw new ConfigError([
      `--from: expected an instant before --to, ${formatInstant(request.to)}, got ${formatInstant(request.from)}`,
    ])
  }
  const { selected, paused } = await selectRunning(db, request.streams)
  const providers = providersOf(sources, selected)
  for (const stream of selected) {
    const source = providers.get(stream.streamId)
    if (source && step) checkStep(step, placeOf(stream), source.dataset)
  }
  const backfillId = uuidv7()
  const { streams, leftOut } = await db.transaction(async (tx) => {
    const limits = await lockLimits(
      tx,
      selected.map(({ streamId }) => streamId),
    )
    const planned = await windowsOf(tx, { limits, providers, request, step })
    const windows = planned.streams.reduce((sum, { windows }) => sum + windows.length, 0)
    if (windows > WINDOWS_MAX) {
      throw new ConfigError([
        `backfill: expected at most ${WINDOWS_MAX} windows, got ${windows}; plan fewer streams or a shorter range at a time`,
      ])
    }
    if (windows > 0 && !request.dryRun) await insertPlan(tx, { backfillId, request, streams: planned.streams })
    return planned
  })
  const windows = streams.reduce((sum, stream) => sum + stream.windows.length, 0)
  return {
    backfillId: windows > 0 && !request.dryRun ? backfillId : null,
    windows,
    ...(await estimateBackfill(db, streams, providers)),
    leftOut: [...paused, ...leftOut],
  }
}

/** A stream that is paused is left out where a pattern finds it, and refused where it is named. */
async function selectRunning(db: Queryable, patterns: readonly string[]) {
  const found = new Map<number, SelectedStream>()
  const named = new Set<number>()
  for (const pattern of patterns) {
    for (const stream of await selectStreams(db, pattern)) {
      found.set(stream.streamId, stream)
      if (!pattern.includes('*')) named.add(stream.streamId)
    }
  }
  const all = [...found.values()]
  const paused = all.filter((stream) => stream.paused)
  const refused = paused.filter(({ streamId }) => named.has(streamId) || paused.length === all.length)
  if (refused.length > 0) {
    throw new ConfigError(
      refused.map(
        ({ name, pausedReason }) =>
          `stream ${name}: expected one that runs, it is paused (${pausedReason}); resume it with: tributary streams resume ${name} --reason …`,
      ),
    )
  }
  return {
    selected: all.filter((stream) => !stream.paused),
    paused: paused.map(({ name, pausedReason }) => ({
      stream: name,
      lo: null,
      hi: null,
      reason: `is paused: ${pausedReason}`,
    })),
  }
}

function providersOf(sources: Platform['sources'], streams: readonly SelectedStream[]) {
  const providers = new Map<number, ProviderSource>()
  const problems: string[] = []
  for (const { streamId, name, source: id } of streams) {
    const source = sources.get(id)
    if (source?.kind === 'provider') providers.set(streamId, source)
    else {
      const got = source === undefined ? 'a source that this build does not know' : 'a source of files'
      problems.push(`stream ${name}: expected one that a provider is asked for, got ${got}; leave it out`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return providers
}

type Planning = {
  readonly limits: readonly StreamLimits[]
  readonly providers: ReadonlyMap<number, ProviderSource>
  readonly request: BackfillRequest
  readonly step: Step | null
}

async function windowsOf(tx: Queryable, { limits, providers, request, step }: Planning) {
  const leftOut: LeftOut[] = []
  const ranges = limits.flatMap((stream) => {
    const found = rangeOf(stream, request)
    leftOut.push(...found.leftOut)
    return found.range === null ? [] : [{ streamId: stream.streamId, range: found.range }]
  })
  const { missing, inTheWay } = await readMissing(tx, ranges, request.again)
  const streams = limits.map((stream): StreamWindows => {
    const { dataset } = providers.get(stream.streamId) as ProviderSource
    const cut = {
      partitionEnd: (instant: Instant) => partitionOf(dataset, placeOf(stream), instant).hi,
      step,
      maxWindow: BigInt(stream.maxWindowS) * MICROS_PER_SECOND,
      granularity: BigInt(stream.granularityS) * MICROS_PER_SECOND,
    }
    const mine = missing.filter(({ streamId }) => streamId === stream.streamId)
    return { stream, windows: mine.flatMap((range) => cutWindows(range, cut)) }
  })
  const names = new Map(limits.map(({ streamId, name }) => [streamId, name]))
  leftOut.push(...inTheWay.map((active) => ({ ...reasonOf(active), stream: names.get(active.streamId) ?? '' })))
  return { streams: streams.filter(({ windows }) => windows.length > 0), leftOut }
}

function reasonOf({ lane, backfillId, windows, lo, hi }: InTheWay): Omit<LeftOut, 'stream'> {
  const count = windows === 1 ? 'an ingest is' : `${windows} ingests are`
  const of = backfillId === null ? `of the lane ${lane}` : `of the backfill ${backfillId}`
  return { lo, hi, reason: `${count} active there, ${of}` }
}

type Insertion = {
  readonly backfillId: string
  readonly request: BackfillRequest
  readonly streams: readonly StreamWindows[]
}

async function insertPlan(tx: Queryable, { backfillId, request, streams }: Insertion): Promise<void> {
  const { from, to, step, newestFirst, again, actor } = request
  const selector = JSON.stringify({ streams: request.streams })
  await tx.query(INSERT_BACKFILL, [backfillId, selector, from, to, step, newestFirst, again, actor])
  const rows = streams.flatMap(({ stream: { streamId }, windows }) =>
    windows.map(({ lo, hi }) => ({ id: uuidv7(), stream_id: streamId, lo: formatInstant(lo), hi: formatInstant(hi) })),
  )
  for (let start = 0; start < rows.length; start += WINDOWS_PER_INSERT) {
    const batch = rows.slice(start, start + WINDOWS_PER_INSERT)
    await tx.query(INSERT_WINDOWS, [JSON.stringify(batch), actor, backfillId])
  }
  await recordAudit(tx, {
    actor,
    action: 'plan_backfill',
    subject: backfillId,
    after: { streams: streams.map(({ stream }) => stream.name), windows: rows.length, again },
  })
}

function placeOf({ name, dataset, source, subject, timeframe }: SelectedStream | StreamLimits) {
  return { name, dataset, source, subject, timeframe: timeframe ?? undefined }
}
