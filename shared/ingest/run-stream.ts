import { setTimeout as sleep } from 'node:timers/promises'
import { FUNCTION_TIMEOUT_MS } from '../config/function-limits.ts'
import { ConfigError } from '../errors.ts'
import type { Instant } from '../instant.ts'
import { withPipelineRun } from '../ops/pipeline-run.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import type { Hint } from './hints.ts'
import { readExpectations } from './plan/expectations.ts'
import { planWindows } from './plan/plan.ts'
import type { SelectedStream } from './plan/select-streams.ts'
import { readUnpublished, type UnpublishedIngest } from './state/unpublished.ts'
import { takeOverExpired } from './sweep.ts'
import { curate, land, type Worked } from './work.ts'

export type RunRequest = {
  readonly streams: readonly SelectedStream[]
  /** Told to stop: what is under way is given back. */
  readonly signal: AbortSignal
  /** After this long what is under way is given back too, and what is left is told of. */
  readonly timeoutMs: number
  readonly onStep: (step: RunStep) => void
}

export type RunStep = {
  readonly stream: string
  readonly sourceIngestId: string
  readonly lo: Instant | null
  readonly hi: Instant | null
  readonly worked: Worked
}

export type RunEnd =
  /** Nothing of the streams is left to do. */
  | 'published'
  /** Something waits for a person, or for its next attempt. */
  | 'incomplete'
  /** What is left only waits for the provider's quota. */
  | 'quota'
  | 'stopped'

export type RunReport = {
  readonly end: RunEnd
  readonly timedOut: boolean
  readonly planned: number
  /** How often a step led to what. */
  readonly worked: Readonly<Record<string, number>>
  readonly streams: readonly RunStream[]
  readonly left: readonly UnpublishedIngest[]
}

export type RunStream = {
  readonly stream: string
  readonly checkpoint: Instant
  readonly head: Instant | null
  readonly pausedReason: string | null
  readonly heldReason: string | null
}

/** A partition belongs to one stream: streams side by side never meet in a file, windows of one stream would. */
const STREAMS_AT_ONCE = 4
/** How often to look after what other workers hold, ms. */
const POLL_MS = 500
const LEFT_STATES = ['planned', 'landing', 'landed', 'curating', 'failed', 'quarantined'] as const

// A person who says run does not wait for the interval.
const MAKE_DUE: Statement = {
  name: 'make_streams_due',
  text: `update ingest.stream set next_plan_at = null where stream_id = any($1::bigint[]) and next_plan_at is not null`,
}

// Whether its hint was sent is nobody's concern here. A backfill's windows are its job's.
const DUE: Statement = {
  name: 'due_of_streams',
  text: `
select i.source_ingest_id as "sourceIngestId", i.stream_id as "streamId", i.lo, i.hi,
       concat_ws('/', s.source, s.dataset, s.subject, s.timeframe) as stream,
       case when i.state = 'planned' and i.lane <> 'reprocess' then 'land' else 'curate' end as queue
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.stream_id = any($1::bigint[]) and i.state in ('planned', 'landed') and not s.paused
   and not (i.state = 'planned' and i.lane = 'backfill') and not (i.state = 'landed' and s.held_reason is not null)
   and (i.next_attempt_at is null or i.next_attempt_at <= now())
 order by i.stream_id, i.hi desc nulls last, i.planned_at
 limit 1000`,
}

type Due = Hint & Omit<RunStep, 'worked'> & { readonly streamId: number }

const STREAMS: Statement = {
  name: 'streams_that_ran',
  text: `
select concat_ws('/', source, dataset, subject, timeframe) as stream, upper(published) as head,
       ingest.checkpoint(origin, published + accepted) as checkpoint,
       case when paused then paused_reason end as "pausedReason", held_reason as "heldReason"
  from ingest.stream where stream_id = any($1::bigint[])
 order by stream`,
}

/**
 * Plans, lands and curates what is due of some streams in this process, until nothing of them is due and nothing will
 * be before the timeout. Other workers may do the same: whoever claims first works. Throws ConfigError where a source
 * lacks its settings.
 */
export async function runStreams(platform: Platform, request: RunRequest): Promise<RunReport> {
  checkSettings(platform, request.streams)
  const { signal, timeoutMs } = request
  const stop = new AbortController()
  const onStop = () => stop.abort()
  if (signal.aborted) onStop()
  signal.addEventListener('abort', onStop, { once: true })
  const timer = setTimeout(onStop, timeoutMs)
  try {
    return await withPipelineRun(platform, 'run', async ({ runId }) => {
      const run = { ...request, runId, stop: stop.signal, deadlineMs: performance.now() + timeoutMs }
      const worked = await workThrough(platform, run)
      await platform.bus.announce()
      return report(platform, run, worked)
    })
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onStop)
  }
}

function checkSettings({ sources, sourceSettings }: Platform, streams: readonly SelectedStream[]): void {
  const problems = new Set<string>()
  for (const { source: id, name } of streams) {
    const source = sources.get(id)
    if (source === undefined) problems.add(`stream ${name}: expected a source of this build, got ${id}`)
    if (source?.kind !== 'provider') continue
    const { missing } = sourceSettings(source)
    if (missing.length > 0) problems.add(`source ${id}: expected the settings ${missing.join(', ')}, got none`)
  }
  if (problems.size > 0) throw new ConfigError([...problems])
}

type Run = RunRequest & { readonly runId: string; readonly stop: AbortSignal; readonly deadlineMs: number }

type Done = { readonly planned: number; readonly worked: Readonly<Record<string, number>> }

async function workThrough(platform: Platform, run: Run): Promise<Done> {
  const { db } = platform
  const streamIds = run.streams.map(({ streamId }) => streamId)
  await db.query(MAKE_DUE, [streamIds])
  const worked: Record<string, number> = {}
  // Refused once, it is another worker's, or only a newer worker's.
  const refused = new Set<string>()
  let planned = 0
  while (!run.stop.aborted) {
    const plan = await planWindows(db, {
      initiatedBy: 'run',
      pipelineRunId: run.runId,
      streamIds,
      expectations: await readExpectations(platform, { streamIds }),
    })
    planned += plan.planned.length
    const due = (await db.query<Due>(DUE, [streamIds])).filter((item) => !refused.has(keyOf(item)))
    await sideBySide(byStream(due), async (items) => {
      for (const item of items) {
        if (run.stop.aborted) return
        const step = await workOn(platform, run, item)
        worked[step.worked] = (worked[step.worked] ?? 0) + 1
        if (step.worked === 'refused') refused.add(keyOf(item))
      }
    })
    if (due.length === 0 && !(await waitForMore(platform, run, streamIds))) break
  }
  return { planned, worked }
}

const keyOf = ({ sourceIngestId, queue }: Hint) => `${sourceIngestId} ${queue}`

function byStream(due: readonly Due[]): readonly (readonly Due[])[] {
  const streams = new Map<number, Due[]>()
  for (const item of due) streams.set(item.streamId, [...(streams.get(item.streamId) ?? []), item])
  return [...streams.values()]
}

async function sideBySide<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values()
  const worker = async () => {
    for (const item of left) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(STREAMS_AT_ONCE, items.length) }, worker))
}

async function workOn(platform: Platform, run: Run, { queue, streamId: _, ...item }: Due): Promise<RunStep> {
  const leftMs = Math.max(run.deadlineMs - performance.now(), 0)
  // A window that takes a function too long is split here too: the next one to fetch it may be a function.
  const limits = { stop: run.stop, deadlineMs: FUNCTION_TIMEOUT_MS, waitMsMax: leftMs }
  const message = { v: 1, sourceIngestId: item.sourceIngestId }
  const worked = await (queue === 'land' ? land : curate)(platform, message, limits)
  const step = { ...item, worked }
  run.onStep(step)
  return step
}

/** Waits for what moves by itself before the timeout; false where nothing does. */
async function waitForMore(platform: Platform, run: Run, streamIds: readonly number[]): Promise<boolean> {
  const rows = await platform.db.query<RunStream & { streamId: number }>(STREAMS, [streamIds])
  const stopped = new Set(rows.filter(({ pausedReason }) => pausedReason !== null).map(({ stream }) => stream))
  const left = await readUnpublished(platform.db, { streamIds, states: LEFT_STATES })
  const held = left.filter(({ state }) => state === 'landing' || state === 'curating')
  if (held.some(({ leaseExpired }) => leaseExpired)) {
    await takeOverExpired(platform)
    return true
  }
  const waits = left.flatMap(({ waitS, stream, lane, state }) =>
    waitS === null || stopped.has(stream) || (lane === 'backfill' && state === 'planned') ? [] : [waitS * 1000],
  )
  const waitMs = Math.min(...waits, ...(held.length > 0 ? [POLL_MS] : []))
  if (performance.now() + waitMs > run.deadlineMs) return false
  await sleep(waitMs, undefined, { signal: run.stop }).catch(() => undefined)
  return true
}

async function report(platform: Platform, run: Run, done: Done): Promise<RunReport> {
  const streamIds = run.streams.map(({ streamId }) => streamId)
  const streams = await platform.db.query<RunStream>(STREAMS, [streamIds])
  const all = await readUnpublished(platform.db, { streamIds, states: LEFT_STATES })
  const left = all.filter(({ lane, state }) => !(lane === 'backfill' && state === 'planned'))
  const timedOut = run.stop.aborted && !run.signal.aborted
  const needsPerson = streams.some(({ pausedReason, heldReason }) => pausedReason !== null || heldReason !== null)
  const end = run.signal.aborted ? 'stopped' : endOf({ left, blocked: timedOut || needsPerson, needsPerson })
  return { end, timedOut, ...done, streams, left }
}

type Ending = { readonly left: readonly UnpublishedIngest[]; readonly blocked: boolean; readonly needsPerson: boolean }

function endOf({ left, blocked, needsPerson }: Ending): RunEnd {
  if (left.length === 0) return blocked ? 'incomplete' : 'published'
  return !needsPerson && left.every(waitsForQuota) ? 'quota' : 'incomplete'
}

function waitsForQuota({ state, errorClass }: UnpublishedIngest): boolean {
  return state === 'planned' && errorClass === 'ThrottledError'
}
