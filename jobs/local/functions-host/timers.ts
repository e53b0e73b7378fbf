import { toError } from '../../../shared/errors.ts'
import type { RpcRetryContext } from './core-api.ts'
import type { AppFunction } from './function-app.ts'
import type { HostLog, HostLogLevel } from './host-log.ts'
import type { Invoker } from './invocation.ts'
import type { Schedule } from './ncrontab.ts'
import { pause } from './pause.ts'
import { readStatus, statusAfterRun, statusAtStart, type TimerStatus, writeStatus } from './timer-status.ts'
import type { RetryPolicy, TimerTrigger, Trigger } from './trigger.ts'

export type TimerFunction = AppFunction<Trigger & TimerTrigger>

export type Timer = {
  /** Reads the status and, where `scheduled`, runs what is past due and then every occurrence. */
  readonly start: (scheduled: boolean) => Promise<void>
  /** One run by hand, retries included; rejects with what the handler threw. Runs of one timer never overlap. */
  readonly invoke: (options: { readonly isPastDue: boolean }) => Promise<void>
  /** No more runs and no more retries; resolves when the run under way has ended. */
  readonly stop: () => Promise<void>
}

export type TimerOptions = {
  readonly target: TimerFunction
  readonly invoker: Invoker
  /** Where the status of each monitored timer is kept. */
  readonly folder: string
  readonly log: HostLog
}

/** Node's timers end after 24 days, and a machine that slept must notice: no sleep is longer than this. */
const SLEEP_MAX_MS = 60_000
const MONITOR_INTERVAL_MIN_MS = 60_000
const NEVER = '0001-01-01T00:00:00+00:00'

/** One timer, as the timers extension of the real host treats it: a failed run is logged, and the schedule goes on. */
export function createTimer({ target, invoker, folder, log }: TimerOptions): Timer {
  const { schedule, retry, runOnStartup } = target.trigger
  const monitored = target.trigger.useMonitor && isMonitorable(schedule)
  const stopping = new AbortController()
  let status: TimerStatus | undefined
  let scheduleLoop: Promise<void> = Promise.resolve()
  let lastRun: Promise<unknown> = Promise.resolve()
  const say = (level: HostLogLevel, message: string) =>
    log({ level, category: 'host', functionName: target.name, message: `timer ${target.name}: ${message}` })

  const invoke = ({ isPastDue }: { readonly isPastDue: boolean }): Promise<void> => {
    const json = JSON.stringify({
      Schedule: { AdjustForDST: true },
      ScheduleStatus: monitored && status ? pascalCase(status) : null,
      IsPastDue: isPastDue,
    })
    const run = lastRun.then(() =>
      withRetries(retry, stopping.signal, (retryContext) =>
        invoker.invoke(target, { data: { json }, ...(retryContext ? { retryContext } : {}) }),
      ),
    )
    lastRun = run.catch(() => undefined)
    return run
  }

  const fire = async (before: TimerStatus, isPastDue: boolean): Promise<TimerStatus> => {
    const startedAt = new Date()
    // The invoker has logged it: an exception ends the run, never the schedule.
    await invoke({ isPastDue }).catch(() => undefined)
    const after = statusAfterRun(before, schedule, startedAt)
    if (monitored) await store(after)
    return after
  }

  const store = (next: TimerStatus) =>
    writeStatus(folder, target.name, next).catch((error: unknown) => say('error', toError(error).message))

  const runSchedule = async (first: TimerStatus, isPastDue: boolean) => {
    let current = first
    if (isPastDue || runOnStartup) current = status = await fire(current, isPastDue)
    while (!stopping.signal.aborted) {
      const waitMs = current.next.getTime() - Date.now()
      if (waitMs > 0) await pause(Math.min(waitMs, SLEEP_MAX_MS), stopping.signal)
      else current = status = await fire(current, false)
    }
  }

  return {
    async start(scheduled) {
      const stored = monitored ? await readStatus(folder, target.name).catch(onDamaged) : undefined
      const atStart = statusAtStart(stored, schedule, new Date())
      status = atStart.status
      if (!scheduled) return
      if (monitored && status !== stored) await store(status)
      if (atStart.isPastDue) say('information', `past due since ${status.next.toISOString()}`)
      scheduleLoop = runSchedule(status, atStart.isPastDue)
    },
    invoke,
    async stop() {
      stopping.abort()
      await scheduleLoop
      await lastRun
    },
  }

  function onDamaged(error: unknown): undefined {
    say('error', `${toError(error).message}; counting from now`)
    return undefined
  }
}

/** The real host keeps no status of a timer that fires more often than once a minute. */
function isMonitorable(schedule: Schedule): boolean {
  let at = new Date()
  for (let occurrence = 0; occurrence < 5; occurrence++) {
    const next = schedule.next(at)
    if (occurrence > 0 && next.getTime() - at.getTime() < MONITOR_INTERVAL_MIN_MS) return false
    at = next
  }
  return true
}

function pascalCase({ last, next, lastUpdated }: TimerStatus): Record<string, string> {
  const text = (date: Date) => date.toISOString().replace('Z', '+00:00')
  return { Last: last ? text(last) : NEVER, Next: text(next), LastUpdated: text(lastUpdated) }
}

/** Runs until it succeeds, the policy is exhausted or the host stops; rejects with the last error. */
async function withRetries(
  policy: RetryPolicy | undefined,
  stop: AbortSignal,
  run: (context: RpcRetryContext | undefined) => Promise<unknown>,
): Promise<void> {
  if (!policy) {
    await run(undefined)
    return
  }
  let context: RpcRetryContext = { retryCount: 0, maxRetryCount: policy.retriesMax }
  for (;;) {
    try {
      await run(context)
      return
    } catch (thrown) {
      const { retryCount } = context
      if (stop.aborted || (policy.retriesMax >= 0 && retryCount >= policy.retriesMax)) throw thrown
      const { message, stack = '' } = toError(thrown)
      await pause(Math.min(policy.delayMaxMs, policy.delayMinMs * 2 ** retryCount), stop)
      if (stop.aborted) throw thrown
      context = { ...context, retryCount: retryCount + 1, exception: { message, source: '', stackTrace: stack } }
    }
  }
}
