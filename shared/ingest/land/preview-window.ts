import { type Instant, MICROS_PER_SECOND } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { Window } from '../../sources/contract.ts'
import { checkWindow } from '../plan/aligned-window.ts'
import type { SelectedStream } from '../plan/select-streams.ts'

const SETTLED: Statement = {
  name: 'settled_until',
  text: `
select greatest(least(s.until, to_timestamp(floor(extract(epoch from now() - make_interval(secs => s.settle_lag_s)) / s.granularity_s) * s.granularity_s)),
                s.origin + make_interval(secs => s.granularity_s)) as until
  from ingest.stream s where s.stream_id = $1::bigint`,
}

const DAYS_DEFAULT = 7n

/**
 * The window that a person asks for, or what is missing of it: up to the newest that is settled, from seven days before
 * its end. Throws ConfigError where the stream cannot have it.
 */
export async function previewWindow(
  db: Queryable,
  stream: SelectedStream,
  { from, to }: { readonly from?: Instant | undefined; readonly to?: Instant | undefined },
): Promise<Window> {
  const hi = to ?? (await db.query<{ until: Instant }>(SETTLED, [stream.streamId]))[0]?.until ?? stream.origin
  const step = BigInt(stream.granularityS) * MICROS_PER_SECOND
  const days = DAYS_DEFAULT * 86_400n * MICROS_PER_SECOND
  const spanned = hi - (days < step ? step : (days / step) * step)
  const lo = from ?? (spanned < stream.origin ? stream.origin : spanned)
  const window = { lo, hi }
  checkWindow(stream, window)
  return window
}
