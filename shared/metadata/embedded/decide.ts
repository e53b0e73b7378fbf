import { v7 as uuidv7 } from 'uuid'
import type { Instant } from '../../instant.ts'
import type { CheckedRecord } from '../model/identity.ts'
import { instantText } from '../model/instant-text.ts'
import { problem } from '../model/problem.ts'
import type { StoreResult } from '../model/repository.ts'
import type { MemoryIndex } from './memory-index.ts'
import { writeLine } from './stored-line.ts'

/** What becomes of a record, once its line, where it has one, is in the log. */
export type Decided = { readonly result: StoreResult; readonly text?: string }

/** The rules of the storing statement: replay, conflict, gap, and the times by which a series is ordered. */
export function decide(index: MemoryIndex, checked: CheckedRecord, now: Instant): Decided {
  const { tenant, key, content, record } = checked
  const { kind, revision, producedAt, window, context } = record
  const known = index.find(key, revision)
  if (known?.content === content) return { result: { outcome: 'replayed', recordId: known.recordId } }
  if (known !== undefined) {
    const detail = `${kind}: expected what is stored as revision ${revision} of this fact, or a higher revision, got other content`
    const { recordId } = known
    return { result: { outcome: 'refused', problem: problem('idempotency-conflict', detail), recordId } }
  }
  const before = revision === 0 ? undefined : index.find(key, revision - 1)
  if (revision > 0 && before === undefined) {
    const detail = `${kind}: expected revision ${revision - 1} of this fact to be stored before ${revision}`
    return { result: { outcome: 'refused', problem: problem('revision-gap', detail) } }
  }
  const orderedAt = before !== undefined && before.orderedAt > producedAt ? before.orderedAt : producedAt
  const recordId = uuidv7()
  const stored = {
    ...record,
    context: { ...context, environment: { ...context.environment, tenant } },
    recordId,
    effectiveAt: window?.end ?? orderedAt,
    storedAt: instantText(now),
  }
  return { result: { outcome: 'stored', recordId }, text: writeLine({ key, content, orderedAt, record: stored }) }
}
