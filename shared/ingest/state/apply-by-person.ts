import { recordAudit } from '../../ops/audit.ts'
import type { Database } from '../../postgres/database.ts'
import type { StreamDefinition } from '../plan/stream-file.ts'
import { applyStreamsIn } from '../plan/streams.ts'

export type ApplyRequest = {
  readonly streams: readonly StreamDefinition[]
  /** As the person named it. */
  readonly path: string
  readonly actor: string
}

/** What the planner does at every tick, done by a person now; an audit row says who, where anything changed. */
export async function applyStreamsByPerson(
  db: Database,
  { streams, path, actor }: ApplyRequest,
): ReturnType<typeof applyStreamsIn> {
  return db.transaction(async (tx) => {
    const applied = await applyStreamsIn(tx, streams)
    if (applied.written > 0 || applied.paused > 0) {
      await recordAudit(tx, { actor, action: 'apply_streams', subject: path, after: applied })
    }
    return applied
  })
}
