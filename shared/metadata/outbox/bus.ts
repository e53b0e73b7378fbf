import type { Queues } from '../../azure/queues.ts'
import { toError } from '../../errors.ts'
import type { Log } from '../../log/log.ts'

export const METADATA_QUEUE = 'metadata'

/**
 * Tells that there may be something in the outbox. It carries no data, and it may be lost: the sweep finds what nobody
 * was told of. Never throws: what was committed does not fail of its announcement.
 */
export type MetadataBus = { readonly announce: () => Promise<void> }

/** Of one process: whoever takes a hint moves all that is due, so a second within this would find nothing, ms. */
const PAUSE_MS = 1_000

/** A hint in the queue `metadata`, at most one a second: what it comes too early for is found by the sweep. */
export function queueBus({ queues, log }: { readonly queues: Queues; readonly log: Log }): MetadataBus {
  let nextMs = 0
  return quietly(log, async () => {
    if (performance.now() < nextMs) return
    nextMs = performance.now() + PAUSE_MS
    await queues.send(METADATA_QUEUE, JSON.stringify({ v: 1 }))
  })
}

/** The dispatcher, called at once in the process that has committed. */
export function inProcessBus(dispatch: () => Promise<unknown>, log: Log): MetadataBus {
  return quietly(log, dispatch)
}

function quietly(log: Log, announce: () => Promise<unknown>): MetadataBus {
  return {
    async announce() {
      try {
        await announce()
      } catch (error) {
        log.warn('metadata_not_announced', { error: toError(error) })
      }
    },
  }
}
