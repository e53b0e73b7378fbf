import { formatInstant, type Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { State } from './state-machine.ts'

/** Work under way or to come in some range of a stream. */
export type ActiveIngest = {
  readonly sourceIngestId: string
  readonly state: State
  readonly lo: Instant
  readonly hi: Instant
}

const ACTIVE: Statement = {
  name: 'active_in_window',
  text: `
select source_ingest_id as "sourceIngestId", state, lo, hi
  from provenance.source_ingest
 where stream_id = $1::bigint and state in ('planned', 'landing', 'landed', 'curating') and lo is not null
   and tstzrange(lo, hi) && tstzrange($2::timestamptz, $3::timestamptz)
 order by lo`,
}

/** Active ingests that overlap `[lo, hi)`; with `hi` null, everything from `lo` on. */
export async function activeIn(
  db: Queryable,
  streamId: number,
  { lo, hi }: { readonly lo: Instant; readonly hi: Instant | null },
): Promise<readonly ActiveIngest[]> {
  return db.query<ActiveIngest>(ACTIVE, [streamId, lo, hi])
}

export function describeActive({ sourceIngestId, state, lo, hi }: ActiveIngest): string {
  return `ingest ${sourceIngestId}, ${state}, ${formatInstant(lo)} … ${formatInstant(hi)}`
}
