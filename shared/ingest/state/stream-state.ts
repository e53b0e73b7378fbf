import { ConfigError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { InstantRange } from '../../postgres/types.ts'

export type StreamState = {
  readonly stream: string
  readonly pausedReason: string | null
  readonly heldReason: string | null
  readonly origin: Instant
  readonly until: Instant | null
  readonly checkpoint: Instant
  readonly head: Instant | null
  readonly fetched: readonly InstantRange[]
  readonly published: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
  /** How far the planner has come. */
  readonly plannedUntil: Instant | null
  /** Null: at its next tick. */
  readonly nextPlanAt: Instant | null
  readonly nextLookbackAt: Instant | null
}

const STATE: Statement = {
  name: 'state_of_stream',
  text: `
select concat_ws('/', source, dataset, subject, timeframe) as stream, origin, until, upper(published) as head,
       ingest.checkpoint(origin, published + accepted) as checkpoint, fetched, published, accepted,
       planned_until as "plannedUntil", next_plan_at as "nextPlanAt", next_lookback_at as "nextLookbackAt",
       case when paused then paused_reason end as "pausedReason", held_reason as "heldReason"
  from ingest.stream
 where stream_id = $1::bigint`,
}

/** What the database remembers of a stream: nothing of it is stored anywhere else. */
export async function readStreamState(db: Queryable, streamId: number): Promise<StreamState> {
  const [state] = await db.query<StreamState>(STATE, [streamId])
  if (state === undefined) throw new ConfigError([`stream ${streamId}: expected it to be there, it is gone`])
  return state
}
