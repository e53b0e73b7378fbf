import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError, DatabaseUnavailableError, toError } from '../../errors.ts'
import { MICROS_PER_MS } from '../../instant.ts'
import type { WorkerCounts } from '../../ops/progress.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'
import { takeOverExpired } from '../sweep.ts'
import { finishBackfills } from './control.ts'
import type { Backfill } from './find.ts'
import { type Outlook, readOutlook, readWaiting, remaining, type Waiting } from './outlook.ts'
import { claimNext } from './pick.ts'
import { createWorker, type Worker } from './worker.ts'

export type RunOptions = {
  readonly backfill: Pick<Backfill, 'backfillId' | 'newestFirst'>
  /** Windows worked on at a time. */
  readonly concurrency: number
  /** Without any progress for this long, waits to come included, the run ends; it goes on when it is run again. */
  readonly maxWaitMs: number
  /** Waits as long as it takes. */
  readonly patient: boolean
  readonly stop: AbortSignal
  /** Ends by itself then, as if it was told to. */
  readonly stopAfterMs: number | null
  /** Every two seconds or so. */
  readonly onProgress: (outlook: Outlook) => void
  /** Begins to watch the worker; returns what ends the watch. */
  readonly watch?: (counts: Worker['counts']) => (end: RunEnd | 'error') => Promise<void>
}

/**
 * done: nothing is left to do · failed: the same, and windows failed · waits: what is left waits for longer than may be
 * waited · stopped: told to · time: its own time was over
 */
export type RunEnd = 'done' | 'failed' | 'paused' | 'cancelled' | 'waits' | 'stopped' | 'time'

export type BackfillRun = {
  readonly end: RunEnd
  readonly outlook: Outlook
  readonly mine: WorkerCounts
  /** What keeps the windows that are left waiting. */
  readonly waiting: readonly Waiting[]
}

/** One window may take this long, waits for the quota included; then it is split, ms. */
const WINDOW_MS_MAX = 3_600_000
/** The longest wait in place, holding a lease. What takes longer is given back, and waited for by the run itself, ms. */
const WAIT_IN_PLACE_MS_MAX = 900_000
const PROGRESS_MS = 2_000
const POLL_MS = 1_000
const TAKE_OVER_MS = 10_000
/** Told to stop, its windows have this long to give themselves back, ms. */
const GIVE_BACK_MS_MAX = 15_000

/**
 * Works on a backfill until nothing of it is left to do. Any number of processes may: each claims windows for itself,
 * takes over those of one that is gone, and knows the end by counting rows. Throws ConfigError, and
 * DatabaseUnavailableError where Postgres stays away for `maxWaitMs`.
 */
export async function runBackfill(platform: Platform, options: RunOptions): Promise<BackfillRun> {
  const { backfillId } = options.backfill
  await refuseWithoutSettings(platform, backfillId)
  const stopping = new AbortController()
  // Every window that is under way listens.
  setMaxListeners(0, stopping.signal)
  const onStop = () => stopping.abort()
  if (options.stop.aborted) onStop()
  options.stop.addEventListener('abort', onStop, { once: true })
  const timer = options.stopAfterMs === null ? undefined : setTimeout(onStop, options.stopAfterMs)
  const waitMsMax = Math.min(options.maxWaitMs, WAIT_IN_PLACE_MS_MAX)
  const worker = createWorker(platform, { stop: stopping.signal, deadlineMs: WINDOW_MS_MAX, waitMsMax })
  const unwatch = options.watch?.(worker.counts)
  let end: RunEnd | 'error' = 'error'
  try {
    const found = await workLoop(platform, worker, { ...options, stop: stopping.signal, giveUp: onStop })
    end = found === 'stopped' && !options.stop.aborted ? 'time' : found
    return {
      end,
      outlook: await readOutlook(platform, backfillId),
      mine: await worker.counts(),
      waiting: end === 'waits' ? await readWaiting(platform, backfillId) : [],
    }
  } finally {
    clearTimeout(timer)
    options.stop.removeEventListener('abort', onStop)
    await unwatch?.(end)
  }
}

type LoopEnd = Exclude<RunEnd, 'time'>

async function workLoop(
  platform: Platform,
  worker: Worker,
  options: RunOptions & { readonly giveUp: () => void },
): Promise<LoopEnd> {
  const { stop, giveUp, concurrency, backfill } = options
  const running = new Set<Promise<void>>()
  const failures: Error[] = []
  const begin = (work: Promise<void>) => {
    const ended: Promise<void> = work
      .catch((error) => void failures.push(toError(error)))
      .finally(() => running.delete(ended))
    running.add(ended)
  }
  const decide = createDecision(platform, worker, options)
  const takeOver = every(TAKE_OVER_MS, () => takeOverExpired(platform, backfill.backfillId))
  const survive = createOutageGuard(platform, options)
  let end: LoopEnd | null = null
  try {
    while (end === null && !stop.aborted) {
      let idle = false
      const waitMs = await survive(async () => {
        const fatal = failures.splice(0).find((error) => !(error instanceof DatabaseUnavailableError))
        if (fatal !== undefined) throw fatal
        await takeOver()
        while (running.size < concurrency && !idle && !stop.aborted) {
          const picked = await claimNext(platform, { ...backfill, mayCurate: worker.mayCurate() })
          if (picked === null) idle = true
          else begin(worker.work(picked))
        }
        const decided = await decide(idle && running.size === 0)
        end = decided.end
        return idle ? decided.waitMs : PROGRESS_MS
      })
      if (end === null) await pause([...running], waitMs, stop)
    }
  } finally {
    // Whatever ended it: windows that are held are given back, and what hangs is taken over when its lease is over.
    giveUp()
    await pause([Promise.all(running)], GIVE_BACK_MS_MAX, null)
  }
  return end ?? 'stopped'
}

/** Looks where the backfill stands: every two seconds, and whenever nothing is left that could be claimed. */
function createDecision(platform: Platform, worker: Worker, options: RunOptions) {
  const { backfillId } = options.backfill
  let lookedMs = Number.NEGATIVE_INFINITY
  let doneBefore = -1
  let progressMs = performance.now()
  return async (idle: boolean): Promise<{ readonly end: LoopEnd | null; readonly waitMs: number }> => {
    if (!idle && performance.now() - lookedMs < PROGRESS_MS) return { end: null, waitMs: POLL_MS }
    const outlook = await readOutlook(platform, backfillId)
    lookedMs = performance.now()
    const done = outlook.windows - remaining(outlook)
    // The progress of other workers counts.
    if (done !== doneBefore) progressMs = lookedMs
    doneBefore = done
    options.onProgress(outlook)
    if (!idle) return { end: null, waitMs: POLL_MS }
    const idleMs = lookedMs - Math.max(progressMs, worker.progressMs())
    const end = endOf(outlook, idleMs, options)
    if (end === 'done' || end === 'failed') await finishBackfills(platform.db, backfillId)
    return { end, waitMs: Math.min(POLL_MS, options.maxWaitMs) }
  }
}

function endOf(outlook: Outlook, idleMs: number, { patient, maxWaitMs }: RunOptions): LoopEnd | null {
  const { state, failed, nextAt, now, underWay } = outlook
  if (state === 'paused' || state === 'cancelled') return state
  if (remaining(outlook) === 0) return failed > 0 ? 'failed' : 'done'
  // Only windows of paused streams: a person must act.
  if (nextAt === null && underWay === 0) return 'waits'
  const waitMs = nextAt === null ? 0 : Math.max(0, Number((nextAt - now) / MICROS_PER_MS))
  return !patient && idleMs + (underWay > 0 ? 0 : waitMs) > maxWaitMs ? 'waits' : null
}

/** A database that does not answer is waited for; it has as long as everything else. */
function createOutageGuard({ log }: Platform, { maxWaitMs, patient }: RunOptions) {
  let answeredMs = performance.now()
  return async (work: () => Promise<number>): Promise<number> => {
    try {
      const waitMs = await work()
      answeredMs = performance.now()
      return waitMs
    } catch (error) {
      const awayMs = performance.now() - answeredMs
      if (!(error instanceof DatabaseUnavailableError) || (!patient && awayMs > maxWaitMs)) throw error
      log.warn('database_away', { away_ms: Math.round(awayMs), error })
      return POLL_MS
    }
  }
}

/** Until one of `running` ends, the time is over, or `stop` is aborted. */
async function pause(running: readonly Promise<unknown>[], waitMs: number, stop: AbortSignal | null): Promise<void> {
  const awake = new AbortController()
  const wake = () => awake.abort()
  stop?.addEventListener('abort', wake, { once: true })
  if (stop?.aborted) wake()
  await Promise.race([...running, sleep(waitMs, undefined, { signal: awake.signal }).catch(() => undefined)])
  stop?.removeEventListener('abort', wake)
  wake()
}

function every(periodMs: number, work: () => Promise<unknown>): () => Promise<void> {
  let doneMs = Number.NEGATIVE_INFINITY
  return async () => {
    if (performance.now() - doneMs < periodMs) return
    await work()
    doneMs = performance.now()
  }
}

const SOURCES_LEFT: Statement = {
  name: 'sources_left_of_backfill',
  text: `
select distinct s.source
  from provenance.source_ingest i join ingest.stream s using (stream_id)
 where i.backfill_id = $1::uuid and i.state = 'planned'`,
}

/** Windows of a source without its settings would only be claimed and given back. */
async function refuseWithoutSettings(platform: Platform, backfillId: string): Promise<void> {
  const problems = (await platform.db.query<{ source: string }>(SOURCES_LEFT, [backfillId])).flatMap(
    ({ source: id }) => {
      const source = platform.sources.get(id)
      if (source?.kind !== 'provider') return [`source ${id}: expected one of this build that a provider is asked for`]
      const { missing } = platform.sourceSettings(source)
      return missing.length === 0 ? [] : [`source ${id}: expected the settings ${missing.join(', ')}, got none`]
    },
  )
  if (problems.length > 0) throw new ConfigError(problems)
}
