import { ConfigError } from '../../errors.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database } from '../../postgres/database.ts'
import { lockStream } from '../state/lock-stream.ts'
import { type Marked, markVersions } from './mark-versions.ts'

/**
 * Takes every known version of a file back: its rows leave the curated files with the rebuilds that follow. A version
 * not yet seen is taken when it comes, also one with the same content. Throws ConfigError where no version is current.
 */
export async function withdrawFile(
  db: Database,
  request: { readonly streamId: number; readonly name: string; readonly actor: string; readonly reason: string },
): Promise<Marked> {
  const { streamId, name, actor, reason } = request
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const marked = await markVersions(tx, { streamId, name, mark: { kind: 'withdrawn' } })
    if (marked.versions === 0) {
      throw new ConfigError([`file ${name}: expected a version that is neither superseded nor withdrawn, got none`])
    }
    await recordAudit(tx, { actor, action: 'withdraw_file', subject: name, after: { reason, ...marked } })
    return marked
  })
}
