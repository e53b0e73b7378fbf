import type { QueueMessage, Queues } from '../../../shared/azure/queues.ts'
import { toError } from '../../../shared/errors.ts'
import type { RpcTypedData } from './core-api.ts'
import type { AppFunction } from './function-app.ts'
import type { QueueSettings } from './host-json.ts'
import type { HostLog, HostLogLevel } from './host-log.ts'
import type { Invoker } from './invocation.ts'
import { pause } from './pause.ts'
import type { QueueTrigger, Trigger } from './trigger.ts'

export type QueueFunction = AppFunction<Trigger & QueueTrigger>

export type QueueListener = {
  readonly start: () => void
  /** Something may have been sent: look soon. */
  readonly wake: () => void
  /** Resolves when a receive that began after this call has ended, and every message in hand is done with. */
  readonly polled: () => Promise<void>
  /** Receives no more, and resolves when every message in hand is done with. */
  readonly stop: () => Promise<void>
}

export type QueueListenerOptions = {
  readonly target: QueueFunction
  readonly queues: Queues
  readonly settings: QueueSettings
  readonly lockSeconds: number
  readonly invoker: Invoker
  readonly log: HostLog
}

/** Between two looks at an empty queue; the real host goes up to `maxPollingInterval`. */
const POLL_MIN_MS = 100
const POLL_MAX_MS = 1_000
const QUEUE_NAME_CHARS_MAX = 63

/**
 * One queue, as the storage extension of the real host treats it. A message is hidden for `lockSeconds`, again and
 * again while its handler runs; success removes it, failure shows it again after `visibilityTimeout`, and the
 * `maxDequeueCount`th failure moves its body to `<queue>-poison`. A host that is killed leaves hidden messages only.
 */
export function createQueueListener(options: QueueListenerOptions): QueueListener {
  const { target, queues, settings, log } = options
  const { queue } = target.trigger
  const stopping = new AbortController()
  const inHand = new Set<Promise<void>>()
  const backoff = createBackoff(Math.max(POLL_MIN_MS, Math.min(POLL_MAX_MS, settings.maxPollingIntervalMs)))
  let polls = 0
  let afterPoll: { readonly from: number; readonly resolve: () => void }[] = []
  let loop: Promise<void> = Promise.resolve()
  const say = (level: HostLogLevel, message: string) =>
    log({ level, category: 'host', functionName: target.name, message: `queue ${queue}: ${message}` })

  const receive = async (): Promise<readonly QueueMessage[]> => {
    const number = ++polls
    try {
      return await queues.receive(queue, { countMax: settings.batchSize, visibilitySeconds: options.lockSeconds })
    } catch (error) {
      say('warning', toError(error).message)
      return []
    } finally {
      for (const { resolve } of afterPoll.filter(({ from }) => from < number)) resolve()
      afterPoll = afterPoll.filter(({ from }) => from >= number)
    }
  }

  const run = async () => {
    while (!stopping.signal.aborted) {
      if (inHand.size > settings.newBatchThreshold) {
        await Promise.race(inHand)
        continue
      }
      const messages = await receive()
      for (const message of messages) {
        const done = handle(options, message, say).finally(() => inHand.delete(done))
        inHand.add(done)
      }
      if (messages.length > 0) backoff.reset()
      else await backoff.wait(stopping.signal)
    }
    for (const { resolve } of afterPoll.splice(0)) resolve()
  }

  return {
    start() {
      loop = run()
    },
    wake: backoff.wake,
    async polled() {
      if (!stopping.signal.aborted) {
        backoff.wake()
        await new Promise<void>((resolve) => afterPoll.push({ from: polls, resolve }))
      }
      await Promise.all(inHand)
    },
    async stop() {
      stopping.abort()
      backoff.wake()
      await loop
      await Promise.all(inHand)
    },
  }
}

/** One message from its receipt to its end. Never rejects: whatever fails, the message comes again after its lock. */
async function handle(
  { target, queues, settings, lockSeconds, invoker }: QueueListenerOptions,
  message: QueueMessage,
  say: (level: HostLogLevel, text: string) => void,
): Promise<void> {
  const { queue } = target.trigger
  const body = settings.messageEncoding === 'base64' ? message.body : message.wire
  const poisonQueue = poisonQueueOf(queue)
  const moveToPoison = async (held: QueueMessage, reason: string) => {
    if (poisonQueue === undefined)
      return say('error', `message ${message.id} stays hidden until its lock ends: ${reason}`)
    // In this order: killed between the two, the message is in both queues, never in none.
    await queues.forward(poisonQueue, held)
    await queues.remove(queue, held)
    say('error', `message ${message.id} moved to ${poisonQueue}: ${reason}`)
  }
  try {
    if (body === undefined) return await moveToPoison(message, 'expected a body in base64, got something else')
    if (message.dequeueCount > settings.maxDequeueCount) {
      return await moveToPoison(message, `received ${message.dequeueCount} times`)
    }
    const lock = holdLock(queues, queue, message, lockSeconds, say)
    const succeeded = await invoker
      .invoke(target, { data: { string: body }, triggerMetadata: triggerMetadata(message, body) })
      .then(
        () => true,
        () => false,
      )
    const held = await lock.end()
    if (held === undefined)
      return say('warning', `message ${message.id} was lost to another host while its handler ran`)
    if (succeeded) await queues.remove(queue, held)
    else if (poisonQueue === undefined) await moveToPoison(held, 'its handler failed')
    else if (message.dequeueCount >= settings.maxDequeueCount)
      await moveToPoison(held, `failed ${message.dequeueCount} times`)
    else await queues.release(queue, held, settings.visibilityTimeoutSeconds)
  } catch (error) {
    say('warning', `message ${message.id}: ${toError(error).message}`)
  }
}

/** Renews the lock at its half-life. `end` waits for a renewal under way, whose receipt is the only valid one. */
function holdLock(
  queues: Queues,
  queue: string,
  message: QueueMessage,
  lockSeconds: number,
  say: (level: HostLogLevel, text: string) => void,
): { readonly end: () => Promise<QueueMessage | undefined> } {
  const ending = new AbortController()
  const renewing = (async () => {
    let held: QueueMessage | undefined = message
    let waitMs = lockSeconds * 500
    while (held !== undefined) {
      await pause(waitMs, ending.signal)
      if (ending.signal.aborted) return held
      try {
        held = await queues.renew(queue, held, lockSeconds)
        waitMs = lockSeconds * 500
      } catch (error) {
        // Still ours until the lock ends: five more tries fit.
        say('warning', `message ${message.id} was not renewed: ${toError(error).message}`)
        waitMs = lockSeconds * 100
      }
    }
    return held
  })()
  return {
    end() {
      ending.abort()
      return renewing
    },
  }
}

/** A poison queue has no poison queue of its own, nor has a queue whose name leaves no room for the suffix. */
function poisonQueueOf(queue: string): string | undefined {
  const name = `${queue}-poison`
  return queue.endsWith('-poison') || name.length > QUEUE_NAME_CHARS_MAX ? undefined : name
}

/** With every top-level property of a JSON body, as the real host does; a property named `id` hides the message's. */
function triggerMetadata(message: QueueMessage, body: string): Record<string, RpcTypedData> {
  const json = (value: unknown): RpcTypedData => ({ json: JSON.stringify(value) ?? 'null' })
  const instant = (date: Date) => json(date.toISOString().replace('Z', '+00:00'))
  const metadata: Record<string, RpcTypedData> = {
    QueueTrigger: { string: body },
    DequeueCount: json(message.dequeueCount),
    Id: { string: message.id },
    PopReceipt: { string: message.popReceipt },
    InsertionTime: instant(message.insertedAt),
    ExpirationTime: instant(message.expiresAt),
    NextVisibleTime: instant(message.nextVisibleAt),
  }
  for (const [key, value] of propertiesOf(body))
    metadata[key] = typeof value === 'string' ? { string: value } : json(value)
  return metadata
}

function propertiesOf(body: string): [string, unknown][] {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : []
  } catch {
    return []
  }
}

type Backoff = {
  readonly wait: (signal: AbortSignal) => Promise<void>
  readonly reset: () => void
  readonly wake: () => void
}

/**
 * Random exponential waits. A wake ends the wait, though not before the shortest one is over: a thousand messages that
 * finish in a second must not become a thousand looks at every other queue.
 */
function createBackoff(maxMs: number): Backoff {
  let delayMs = POLL_MIN_MS
  let woken = new AbortController()
  return {
    async wait(signal) {
      await pause(POLL_MIN_MS, signal)
      await pause((delayMs - POLL_MIN_MS) * (0.5 + Math.random() / 2), woken.signal)
      delayMs = woken.signal.aborted ? POLL_MIN_MS : Math.min(maxMs, delayMs * 2)
      woken = new AbortController()
    },
    reset() {
      delayMs = POLL_MIN_MS
    },
    wake() {
      woken.abort()
    },
  }
}
