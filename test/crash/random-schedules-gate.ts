import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { DatabaseUnavailableError, TransientError } from '../../shared/errors.ts'
import type { IoHook, IoOperation } from '../../shared/io-hook.ts'
import type { FaultKind } from '../support/faulty-io.ts'

/** What one worker does with the outside world, one operation at a time, when it is let. */
export type Gate = {
  readonly hook: IoHook
  /** What it would do next, if it stands at the gate. */
  readonly next: () => IoOperation | undefined
  /**
   * Lets the oldest one through, and returns it once the worker stands at the gate again or `ended`. What belongs to one
   * transaction goes through together: a worker that slept with locks in its hands would stop all others.
   */
  readonly step: (ended: Promise<void>) => Promise<IoOperation | null>
  /** Resolves when the worker stands at the gate, or has `ended`. */
  readonly arrived: (ended: Promise<void>) => Promise<void>
  /** The operation after `after` more fails. */
  readonly arm: (kind: FaultKind, after: number) => void
  /** Nothing waits any more, and no fault is to come. */
  readonly free: () => void
  /** The process is gone: nothing that it still wants happens. */
  readonly isDead: () => boolean
}

type Waiting = { readonly operation: IoOperation; readonly go: () => void; readonly done: Promise<void> }

/** A worker that does nothing for so long sleeps between two tries, or waits for a lock of another. */
const QUIET_MS_MAX = 1_000
/** Operations that one worker starts at once arrive within so many turns of the event loop. */
const TURNS = 3

export function createGate(): Gate {
  const queue: Waiting[] = []
  const armed: { kind: FaultKind; after: number }[] = []
  let [open, dead] = [false, false]
  let transactions = 0
  let arrival = newSignal()

  const faultNow = (): FaultKind | null => {
    const [next] = armed
    if (next === undefined || next.after-- > 0) return null
    armed.shift()
    return next.kind
  }
  const run = async <T>(operation: IoOperation, work: () => Promise<T>): Promise<T> => {
    if (dead) throw failureOf(operation)
    const { subject } = operation
    if (subject === 'begin') transactions++
    try {
      const fault = faultNow()
      if (fault === 'before') throw failureOf(operation)
      const result = await work()
      if (subject === 'commit') transactions--
      if (fault === 'dead') dead = true
      if (fault === 'after') throw failureOf(operation)
      return result
    } finally {
      if (subject === 'rollback') transactions = Math.max(transactions - 1, 0)
    }
  }

  const standing = (ended: Promise<void>) =>
    Promise.race([arrival.promise, ended, sleep(QUIET_MS_MAX, undefined, { ref: false })])

  return {
    async hook(operation, work) {
      if (open || dead || transactions > 0) return run(operation, work)
      const end = newSignal()
      await new Promise<void>((go) => {
        queue.push({ operation, go, done: end.promise })
        arrival.raise()
      })
      try {
        return await run(operation, work)
      } finally {
        end.raise()
      }
    },
    next: () => queue[0]?.operation,
    async step(ended) {
      const first = queue.shift()
      if (first === undefined) return null
      arrival = newSignal()
      first.go()
      await first.done
      await (queue.length > 0 ? Promise.race([standing(ended), turns(TURNS)]) : standing(ended))
      return first.operation
    },
    async arrived(ended) {
      if (queue.length === 0) await standing(ended)
    },
    arm: (kind, after) => armed.push({ kind, after }),
    free() {
      open = true
      armed.length = 0
      for (const { go } of queue.splice(0)) go()
    },
    isDead: () => dead,
  }
}

function failureOf({ client, action, subject }: IoOperation): Error {
  const message = `injected fault: ${client} ${action} ${subject}`
  return client === 'postgres' ? new DatabaseUnavailableError(message) : new TransientError(message)
}

function newSignal(): { readonly promise: Promise<void>; readonly raise: () => void } {
  let raise: () => void = () => undefined
  const promise = new Promise<void>((resolve) => {
    raise = resolve
  })
  return { promise, raise }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn()
}
