import { ConfigError } from '../../errors.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { nextState } from '../state/state-machine.ts'
import { type Backfill, type BackfillState, findBackfill } from './find.ts'

export type ControlRequest = { readonly backfillId: string; readonly actor: string; readonly reason: string | null }

export type Controlled = {
  /** As it was before. */
  readonly before: BackfillState
  readonly changed: boolean
  /** Windows that were planned: they wait now, go on, or are cancelled. */
  readonly windows: number
  /** Windows that are under way: they end by themselves. */
  readonly underWay: number
}

const LOCK: Statement = {
  name: 'lock_backfill',
  text: `select state from ingest.backfill where backfill_id = $1::uuid for no key update`,
}

const SET_STATE: Statement = {
  name: 'set_state_of_backfill',
  text: `
update ingest.backfill set state = $2::text, finished_at = case when $2::text = 'cancelled' then coalesce(finished_at, now()) end
 where backfill_id = $1::uuid`,
}

/** Later than any attempt: nothing is claimed before its time. */
const NEVER = '9999-01-01'

// Not only no new hints: those that are in the queue already are refused.
const PAUSE_WINDOWS: Statement = {
  name: 'pause_windows_of_backfill',
  text: `
update provenance.source_ingest set next_attempt_at = '${NEVER}'
 where backfill_id = $1::uuid and state = 'planned'
returning source_ingest_id`,
}

const RESUME_WINDOWS: Statement = {
  name: 'resume_windows_of_backfill',
  text: `
update provenance.source_ingest set next_attempt_at = null, queued_at = null
 where backfill_id = $1::uuid and state = 'planned'
returning source_ingest_id`,
}

const CANCEL_WINDOWS: Statement = {
  name: 'cancel_windows_of_backfill',
  text: `
update provenance.source_ingest i
   set state = ${nextState('i', 'cancel')}, finished_at = now(), next_attempt_at = null,
       error_class = 'cancelled', error_summary = $2::text
 where i.backfill_id = $1::uuid and i.state = 'planned' and ${nextState('i', 'cancel')} is not null
returning i.source_ingest_id`,
}

const UNDER_WAY: Statement = {
  name: 'under_way_of_backfill',
  text: `
select count(*) as count from provenance.source_ingest
 where backfill_id = $1::uuid and state in ('landing', 'landed', 'curating')`,
}

/** Workers claim nothing more of it; what is under way ends. Nothing changes where it is paused already. */
export async function pauseBackfill(db: Database, request: ControlRequest): Promise<Controlled> {
  return change(db, request, {
    action: 'pause_backfill',
    to: 'paused',
    from: ['active'],
    windows: (tx) => tx.query(PAUSE_WINDOWS, [request.backfillId]),
  })
}

/** Goes on; whatever waited for a later attempt is tried at once. Nothing changes where it is active. */
export async function resumeBackfill(db: Database, request: ControlRequest): Promise<Controlled> {
  return change(db, request, {
    action: 'resume_backfill',
    to: 'active',
    from: ['paused'],
    windows: (tx) => tx.query(RESUME_WINDOWS, [request.backfillId]),
  })
}

/**
 * What is planned is not fetched any more; what is under way ends by itself, through the queue where its worker does not
 * end it. Repeated, it also cancels what went back to planned since. There is no way back but another plan.
 */
export async function cancelBackfill(db: Database, request: ControlRequest): Promise<Controlled> {
  const { backfillId, actor, reason } = request
  const summary = `backfill cancelled by ${actor}${reason === null ? '' : `: ${reason}`}`
  return change(db, request, {
    action: 'cancel_backfill',
    to: 'cancelled',
    from: ['active', 'paused', 'cancelled'],
    windows: (tx) => tx.query(CANCEL_WINDOWS, [backfillId, summary]),
  })
}

type Change = {
  readonly action: string
  readonly to: BackfillState
  readonly from: readonly BackfillState[]
  readonly windows: (tx: Queryable) => Promise<readonly unknown[]>
}

async function change(db: Database, request: ControlRequest, { action, to, from, windows }: Change) {
  const { backfillId, actor, reason } = request
  await findBackfill(db, backfillId)
  return db.transaction(async (tx): Promise<Controlled> => {
    const [row] = await tx.query<Pick<Backfill, 'state'>>(LOCK, [backfillId])
    const before = row?.state ?? to
    const underWay = (await tx.query<{ count: number }>(UNDER_WAY, [backfillId]))[0]?.count ?? 0
    if (before === to && !from.includes(to)) return { before, changed: false, windows: 0, underWay }
    if (!from.includes(before)) {
      throw new ConfigError([
        `backfill ${backfillId}: expected one that is ${from.join(' or ')}, it is ${before}; plan another for what is missing`,
      ])
    }
    const changed = await windows(tx)
    if (before === to && changed.length === 0) return { before, changed: false, windows: 0, underWay }
    await tx.query(SET_STATE, [backfillId, to])
    const after = { state: to, windows: changed.length, reason }
    await recordAudit(tx, { actor, action, subject: backfillId, before: { state: before }, after })
    return { before, changed: true, windows: changed.length, underWay }
  })
}

const FINISH: Statement = {
  name: 'finish_backfills',
  text: `
update ingest.backfill b
   set state = 'finished', finished_at = now()
 where b.state = 'active' and ($1::uuid is null or b.backfill_id = $1::uuid)
   and not exists (select from provenance.source_ingest i join ingest.stream s using (stream_id)
                    where i.backfill_id = b.backfill_id
                      and (i.state in ('planned', 'landing', 'curating') or (i.state = 'landed' and s.held_reason is null)))
returning b.backfill_id`,
}

/** Ends the active backfills that have nothing left to do (all of them, or the one named); returns how many. */
export async function finishBackfills(db: Queryable, backfillId: string | null): Promise<number> {
  return (await db.query(FINISH, [backfillId])).length
}
