import { toError } from '../errors.ts'
import type { Platform } from '../platform.ts'
import type { Statement } from '../postgres/database.ts'
import { formatMessage } from './message.ts'

export type Hint = { readonly sourceIngestId: string; readonly queue: 'land' | 'curate' }

const MARK_QUEUED: Statement = {
  name: 'mark_queued',
  text: `update provenance.source_ingest set queued_at = now() where source_ingest_id = any($1::uuid[])`,
}

const SENDS_AT_ONCE = 16

/**
 * Tells the queues that there may be work, and Postgres that they were told. Marked after the send: a crash between the
 * two sends a hint twice, which harms nothing. A queue that does not answer leaves the rest to the next sweep.
 */
export async function sendHints(platform: Platform, hints: readonly Hint[]): Promise<number> {
  const sent: string[] = []
  let failed: unknown
  for (let start = 0; start < hints.length && failed === undefined; start += SENDS_AT_ONCE) {
    const batch = hints.slice(start, start + SENDS_AT_ONCE)
    const results = await Promise.allSettled(
      batch.map(({ queue, sourceIngestId }) => platform.queues.send(queue, formatMessage(sourceIngestId))),
    )
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') sent.push((batch[index] as Hint).sourceIngestId)
      else failed = result.reason
    }
  }
  if (sent.length > 0) await platform.db.query(MARK_QUEUED, [sent])
  if (failed !== undefined)
    platform.log.warn('hints_not_sent', { unsent: hints.length - sent.length, error: toError(failed) })
  return sent.length
}

const FORGET_QUEUED: Statement = {
  name: 'forget_queued',
  text: `update provenance.source_ingest set queued_at = null where source_ingest_id = $1::uuid`,
}

/** One hint of an ingest that its statement has already marked as queued; if it cannot be sent the mark goes. */
export async function sendHint(platform: Platform, { queue, sourceIngestId }: Hint): Promise<void> {
  try {
    await platform.queues.send(queue, formatMessage(sourceIngestId))
  } catch (error) {
    platform.log.warn('hints_not_sent', { unsent: 1, source_ingest_id: sourceIngestId, error: toError(error) })
    await platform.db.query(FORGET_QUEUED, [sourceIngestId])
  }
}
