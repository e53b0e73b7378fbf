import { ConfigError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { InstantRange } from '../../postgres/types.ts'

/** A stream as operators see it: `alpaca/bars/TSLA/1d`. */
export type SelectedStream = {
  readonly streamId: number
  readonly name: string
  readonly source: string
  readonly dataset: string
  readonly subject: string
  readonly timeframe: string | null
  readonly params: unknown
  readonly origin: Instant
  readonly until: Instant | null
  readonly intervalS: number | null
  readonly granularityS: number
  readonly maxWindowS: number
  readonly paused: boolean
  readonly pausedReason: string | null
  readonly heldReason: string | null
  readonly fetched: readonly InstantRange[]
  readonly published: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
}

const STREAMS: Statement = {
  name: 'streams_to_select',
  text: `
select stream_id as "streamId", concat_ws('/', source, dataset, subject, timeframe) as name, source, dataset, subject,
       timeframe, params, origin, until, interval_s as "intervalS", granularity_s as "granularityS",
       max_window_s as "maxWindowS", paused, paused_reason as "pausedReason", held_reason as "heldReason",
       fetched, published, accepted
  from ingest.stream
 order by name`,
}

const NAMES_SHOWN = 10

/**
 * The streams that `pattern` names: a stream's name as `status` shows it, with `*` for any text. Throws ConfigError
 * where there is none.
 */
export async function selectStreams(db: Queryable, pattern: string): Promise<readonly SelectedStream[]> {
  const streams = await db.query<SelectedStream>(STREAMS)
  const matches = matcherOf(pattern)
  const found = streams.filter(({ name }) => matches(name))
  if (found.length > 0) return found
  const names = streams.slice(0, NAMES_SHOWN).map(({ name }) => name)
  const more = streams.length > NAMES_SHOWN ? ` and ${streams.length - NAMES_SHOWN} more` : ''
  const known = names.length === 0 ? 'there are no streams yet' : `there are ${names.join(', ')}${more}`
  throw new ConfigError([`stream: expected the name of a stream, * for any text, got "${pattern}"; ${known}`])
}

/** The one stream of that name. Throws ConfigError where there is none or more than one. */
export async function selectStream(db: Queryable, pattern: string): Promise<SelectedStream> {
  const [first, ...rest] = await selectStreams(db, pattern)
  if (first !== undefined && rest.length === 0) return first
  throw new ConfigError([`stream: expected the name of one stream, got "${pattern}", which names ${rest.length + 1}`])
}

function matcherOf(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  const expression = new RegExp(`^${parts.join('.*')}$`, 'u')
  return (name) => expression.test(name)
}
