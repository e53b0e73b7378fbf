import { PermanentError, TransientError } from '../../errors.ts'
import type { MetadataEnvironment, NewMetadataRecord } from '../model/record.ts'
import { createDelivery } from './delivery.ts'
import { checkCounts, createCounter, type FlushCounts } from './flush-counts.ts'
import { createLineQueue } from './line-queue.ts'
import { recordLine } from './record-line.ts'
import type { ServiceClient } from './service-client.ts'
import { openSpill } from './spill.ts'

export type EmitterOptions = {
  /** Where records are produced, unless they say so. */
  readonly environment?: Partial<MetadataEnvironment>
  /** Where records wait that could not be sent; absent: they are dropped, and counted. */
  readonly spillFolder?: string
  /** Of the folder; what is more is dropped, and counted. */
  readonly spillBytesMax?: number
  /** Records that wait in memory. */
  readonly queueMax?: number
  /** A flush ends within this; what was not answered by then is spilled, ms. */
  readonly flushMs?: number
  /** `emit` throws what is wrong with a record, `flush` that one was refused or not stored. */
  readonly strict?: boolean
}

export type Emitter = {
  /** Takes a copy. Never waits; throws nothing unless strict. */
  readonly emit: (record: NewMetadataRecord) => void
  /** Sends all that waits, and what was left on disk. No timer is left when it resolves. */
  readonly flush: () => Promise<FlushCounts>
  /** Puts all that is not answered yet on disk, at once: for a process that is told to end now. */
  readonly spill: () => void
}

const QUEUE_MAX = 10_000
const QUEUE_BYTES_MAX = 64 * 1024 * 1024
const SPILL_BYTES_MAX = 256 * 1024 * 1024
const BATCH = 500
const FLUSH_MS = 10_000

/**
 * Records on their way to the service, for producers whose work must neither wait for it nor fail of it. A batch goes
 * as soon as 500 records wait, the rest with `flush`, with which a handler ends: a host that freezes a process between
 * two handlers freezes its timers, too. Whatever was sent and not answered is sent again, which is a replay.
 */
export function createEmitter(client: ServiceClient, options: EmitterOptions = {}): Emitter {
  const { environment, strict = false, queueMax = QUEUE_MAX, flushMs = FLUSH_MS } = options
  const { spillFolder, spillBytesMax = SPILL_BYTES_MAX } = options
  const counter = createCounter()
  const spill = spillFolder === undefined ? null : openSpill(spillFolder, spillBytesMax)
  const delivery = createDelivery(client, spill, counter)
  const queue = createLineQueue(queueMax, QUEUE_BYTES_MAX)
  // One request after the other: a correction must not overtake what it corrects.
  let last: Promise<unknown> = Promise.resolve()
  let isSendDue = false
  let stopper = new AbortController()

  const sendFull = () => {
    if (isSendDue || queue.length < BATCH) return
    isSendDue = true
    last = last.then(async () => {
      isSendDue = false
      await delivery.send(queue.take(), stopper.signal)
    })
  }
  const sendAll = async (late: AbortSignal) => {
    const lines = queue.take()
    if (late.aborted) return delivery.putAside(lines, lateError(flushMs))
    const isAnswered = lines.length === 0 || (await delivery.send(lines, late))
    if (isAnswered) await delivery.replay(late)
  }

  return {
    emit(record) {
      const made = recordLine(record, environment)
      if (!made.ok) {
        if (strict) throw new PermanentError(made.problem.detail)
        return counter.add([{ outcome: 'refused', problem: made.problem }])
      }
      if (queue.isFull(made.line)) {
        delivery.putAside(queue.take(), new TransientError(`queue: expected at most ${queueMax} records, got more`))
      }
      queue.put(made.line)
      sendFull()
    },
    async flush() {
      // What is under way already is stopped by the same clock.
      const mine = stopper
      const timer = setTimeout(() => mine.abort(lateError(flushMs)), flushMs)
      const done = last.then(() => sendAll(mine.signal))
      last = done.then(() => {
        if (mine.signal.aborted && mine === stopper) stopper = new AbortController()
      })
      try {
        await last
      } finally {
        clearTimeout(timer)
      }
      const counts = counter.take()
      if (strict) checkCounts(counts)
      return counts
    },
    spill() {
      const lines = [...delivery.flying(), ...queue.take()]
      delivery.putAside(lines, new TransientError('records: expected to be sent, got the end of the process'))
    },
  }
}

function lateError(flushMs: number): Error {
  return new TransientError(`flush: expected answers within ${flushMs} ms, got none`)
}
