import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../shared/ops/status.ts'
import { readStatus } from '../../shared/ops/status.ts'
import type { Platform } from '../../shared/platform.ts'
import type { FunctionsHost } from './functions-host/host.ts'

const POLL_MS = 200
/** How often the sweep runs while something waits for its next attempt. */
const SWEEP_MS = 5_000
/** Without a change for this long there is nothing left to wait for. */
const STALL_MS = 600_000

export type CaughtUp = {
  readonly status: Status
  /** Every window that can be asked for is published or empty. */
  readonly complete: boolean
}

/**
 * Fires the timers until everything that is due is published: sweep first, then the lookback of what earlier runs
 * published, then plan, and plan again whenever the windows of the last plan are through, because a plan takes only so
 * many at a time. A lookback that is not due plans nothing; one that is under way is waited for. Ends early where what
 * is missing waits for a person: failed, quarantined, paused, or of a source without its key.
 */
export async function catchUp(options: {
  readonly platform: Platform
  readonly host: FunctionsHost
  readonly onProgress: (status: Status) => void
  readonly signal: AbortSignal
}): Promise<CaughtUp> {
  const { platform, host, onProgress, signal } = options
  // Their streams are given back until a person sets what is missing.
  const sources = [...platform.sources.values()].filter((source) => source.kind === 'provider')
  const withoutSettings = new Set(
    sources.filter((source) => platform.sourceSettings(source).missing.length > 0).map(({ id }) => id),
  )
  await host.invokeTimer('sweep')
  await host.invokeTimer('plan-lookbacks')
  await host.invokeTimer('plan-ingests')
  let seen = ''
  let changedMs = performance.now()
  let sweptMs = performance.now()
  for (;;) {
    signal.throwIfAborted()
    const status = await readStatus(platform.db)
    onProgress(status)
    const nowMs = performance.now()
    const picture = JSON.stringify([status.ingests, status.streams.map(({ published }) => published)])
    if (picture !== seen) changedMs = nowMs
    seen = picture
    const waitable = status.streams.filter(({ paused, source }) => !paused && !withoutSettings.has(source))
    if (!waitable.some(isActive)) {
      if (!waitable.some(isPlannable)) return { status, complete: isComplete(status) }
      await host.invokeTimer('plan-ingests')
    } else if (nowMs - sweptMs > SWEEP_MS) {
      await host.invokeTimer('sweep')
      sweptMs = nowMs
    }
    if (nowMs - changedMs > STALL_MS) return { status, complete: false }
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

type Stream = Status['streams'][number]

/** Work is under way or will be taken up by itself. */
function isActive({ holes, lookback }: Stream): boolean {
  const states = [...holes.map(({ reason }) => reason), lookback?.state ?? '']
  return states.some((state) => /^(planned|landing|landed|curating)\b/.test(state))
}

function isPlannable({ holes }: Stream): boolean {
  return holes.some(({ reason }) => reason === 'not planned yet')
}

function isComplete({ streams }: Status): boolean {
  return streams.every(({ paused, holes }) => !paused && holes.length === 0)
}
