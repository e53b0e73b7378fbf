import { recordAudit } from '../../ops/audit.ts'
import type { Platform } from '../../platform.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { type Hint, sendHints } from '../hints.ts'
import { activeIn, describeActive } from './active-ingests.ts'
import { lockStream } from './lock-stream.ts'
import { nextState, type State } from './state-machine.ts'
import type { UnpublishedIngest } from './unpublished.ts'

export type ReplayRequest = {
  readonly ingests: readonly UnpublishedIngest[]
  readonly actor: string
  readonly reason: string
}

export type Replayed = {
  readonly sourceIngestId: string
  readonly stream: string
  /** As it is now. */
  readonly state: State
  readonly outcome:
    | 'replayed'
    /** Under way, or ended well: there is nothing to replay. */
    | 'needless'
    | 'refused'
  /** Why, where it was not replayed. */
  readonly why: string | null
}

// What has landed is never asked for again. As if it had never been tried: attempts, their pause and its error are the
// audit's now.
const REPLAY: Statement = {
  name: 'replay_ingest',
  text: `
update provenance.source_ingest i
   set state = n.state, attempts = 0, attempting_since = null, next_attempt_at = null, queued_at = null,
       finished_at = null, error_class = null, error_summary = null
  from (select source_ingest_id,
               case when b.landed_epoch is null then ${nextState('b', 'replayPlanned')}
                    else ${nextState('b', 'replayLanded')} end as state
          from provenance.source_ingest b where source_ingest_id = $1::uuid) n
 where i.source_ingest_id = n.source_ingest_id and n.state is not null
   and i.superseded_by is null and i.withdrawn_at is null
returning i.state, i.lane`,
}

const PRESENT: Statement = {
  name: 'present_ingest',
  text: `
select state, error_class as "errorClass", error_summary as "errorSummary", attempts,
       superseded_by as "supersededBy", withdrawn_at is not null as withdrawn
  from provenance.source_ingest where source_ingest_id = $1::uuid`,
}

type Present = {
  readonly state: State
  readonly errorClass: string | null
  readonly errorSummary: string | null
  readonly attempts: number
  readonly supersededBy: string | null
  readonly withdrawn: boolean
}

const NEEDLESS: readonly State[] = ['planned', 'landing', 'landed', 'curating', 'published', 'empty']

/**
 * Failed and quarantined ingests are tried again: from their raw pages where these are there, else from the provider.
 * One that may not be is told of and stops no other. The queues hear of it once all are committed.
 */
export async function replayIngests(platform: Platform, request: ReplayRequest): Promise<readonly Replayed[]> {
  const replayed: Replayed[] = []
  const hints: Hint[] = []
  for (const ingest of request.ingests) {
    const { hint, ...result } = await replayOne(platform.db, ingest, request)
    replayed.push(result)
    if (hint !== null) hints.push(hint)
  }
  await sendHints(platform, hints)
  return replayed
}

async function replayOne(
  db: Database,
  { sourceIngestId, streamId, stream, lo, hi }: UnpublishedIngest,
  { actor, reason }: ReplayRequest,
): Promise<Replayed & { readonly hint: Hint | null }> {
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const before = await readPresent(tx, sourceIngestId)
    const active = lo === null || hi === null ? [] : await activeIn(tx, streamId, { lo, hi })
    const told = { sourceIngestId, stream, state: before.state, hint: null }
    if (NEEDLESS.includes(before.state)) {
      return { ...told, outcome: 'needless', why: `is ${before.state}` }
    }
    const refusal = refusalOf(before, active.map(describeActive))
    if (refusal !== null) return { ...told, outcome: 'refused', why: refusal }
    const [row] = await tx.query<{ state: State; lane: string }>(REPLAY, [sourceIngestId])
    if (row === undefined) return { ...told, outcome: 'refused', why: 'changed meanwhile; look again' }
    const after = { reason, state: row.state }
    await recordAudit(tx, { actor, action: 'replay_ingest', subject: sourceIngestId, before, after })
    return {
      sourceIngestId,
      stream,
      state: row.state,
      outcome: 'replayed',
      why: null,
      hint: hintOf(sourceIngestId, row),
    }
  })
}

async function readPresent(tx: Queryable, sourceIngestId: string): Promise<Present> {
  const [present] = await tx.query<Present>(PRESENT, [sourceIngestId])
  if (present === undefined) throw new Error(`ingest ${sourceIngestId}: expected it to be there, it is gone`)
  return present
}

function refusalOf({ state, supersededBy, withdrawn }: Present, active: readonly string[]): string | null {
  if (supersededBy !== null) return `is superseded by ${supersededBy}: its rows shall not come back`
  if (withdrawn) return 'is withdrawn: its rows shall not come back'
  if (state !== 'failed' && state !== 'quarantined') return `expected failed or quarantined, got ${state}`
  const [first] = active
  return first === undefined ? null : `overlaps with ${first}: that one reads its window`
}

/** A backfill's windows are claimed by its job. */
function hintOf(
  sourceIngestId: string,
  { state, lane }: { readonly state: State; readonly lane: string },
): Hint | null {
  if (state === 'planned' && lane === 'backfill') return null
  return { sourceIngestId, queue: state === 'planned' && lane !== 'reprocess' ? 'land' : 'curate' }
}
