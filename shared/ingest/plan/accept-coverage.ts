import { ConfigError } from '../../errors.ts'
import { formatInstant, type Instant } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { InstantRange } from '../../postgres/types.ts'
import type { Window } from '../../sources/contract.ts'
import { activeIn, describeActive } from '../state/active-ingests.ts'
import { lockStream } from '../state/lock-stream.ts'
import { checkWindow } from './aligned-window.ts'
import type { SelectedStream } from './select-streams.ts'

export type CoverageRequest = {
  readonly stream: SelectedStream
  readonly window: Window
  readonly actor: string
  readonly reason: string
}

export type CoverageChange = {
  readonly stream: string
  /** What was not accepted before and is now, or the other way round; empty where nothing was to be done. */
  readonly changed: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
  readonly checkpoint: Instant
  /** Failed and quarantined ingests in the window: the planner leaves theirs out, only a replay reads it. */
  readonly waiting: readonly { readonly sourceIngestId: string; readonly state: string }[]
}

const FACTS: Statement = {
  name: 'coverage_of_window',
  text: `
select s.published * w.range as published, w.range - s.published as missing, w.range - s.accepted as "notAccepted",
       s.accepted * w.range as accepted,
       to_timestamp(floor(extract(epoch from now() - make_interval(secs => s.settle_lag_s)) / s.granularity_s) * s.granularity_s) as "settledUntil"
  from ingest.stream s, (select tstzmultirange(tstzrange($2::timestamptz, $3::timestamptz)) as range) w
 where s.stream_id = $1::bigint`,
}

type Facts = {
  readonly published: readonly InstantRange[]
  readonly missing: readonly InstantRange[]
  readonly notAccepted: readonly InstantRange[]
  readonly accepted: readonly InstantRange[]
  /** By the database clock: until here the planner has, or will have, asked. */
  readonly settledUntil: Instant
}

const change = (name: string, operator: '+' | '-'): Statement => ({
  name,
  text: `
update ingest.stream s
   set accepted = s.accepted ${operator} tstzmultirange(tstzrange($2::timestamptz, $3::timestamptz)), updated_at = now()
 where s.stream_id = $1::bigint
returning s.accepted, ingest.checkpoint(s.origin, s.published + s.accepted) as checkpoint`,
})
const ACCEPT = change('accept_coverage', '+')
const UNACCEPT = change('unaccept_coverage', '-')

const AS_IT_IS: Statement = {
  name: 'accepted_coverage',
  text: `
select accepted, ingest.checkpoint(origin, published + accepted) as checkpoint
  from ingest.stream where stream_id = $1::bigint`,
}

const WAITING: Statement = {
  name: 'waiting_in_window',
  text: `
select source_ingest_id as "sourceIngestId", state
  from provenance.source_ingest
 where stream_id = $1::bigint and state in ('failed', 'quarantined')
   and tstzrange(lo, hi) && tstzrange($2::timestamptz, $3::timestamptz)
 order by lo`,
}

/**
 * A hole will not be filled and a person says why: the planner leaves it out, the checkpoint passes over it, and what
 * failed in it alerts no longer. Only what is a hole: nothing of it published, no ingest active in it. Throws ConfigError.
 */
export async function acceptCoverage(db: Database, request: CoverageRequest): Promise<CoverageChange> {
  const { stream, window } = request
  checkWindow(stream, window)
  return db.transaction(async (tx) => {
    await lockStream(tx, stream.streamId)
    const facts = await readFacts(tx, request)
    if (facts.notAccepted.length > 0) await checkHole(tx, request, facts)
    return record(tx, request, { statement: ACCEPT, action: 'accept_coverage', changed: facts.notAccepted })
  })
}

/** Takes back what was accepted of the window: it is a hole again, and the next tick plans it. Throws ConfigError. */
export async function unacceptCoverage(db: Database, request: CoverageRequest): Promise<CoverageChange> {
  const { stream, window } = request
  checkWindow(stream, window)
  return db.transaction(async (tx) => {
    await lockStream(tx, stream.streamId)
    const { accepted } = await readFacts(tx, request)
    return record(tx, request, { statement: UNACCEPT, action: 'unaccept_coverage', changed: accepted })
  })
}

async function readFacts(tx: Queryable, { stream, window }: CoverageRequest): Promise<Facts> {
  const [facts] = await tx.query<Facts>(FACTS, [stream.streamId, window.lo, window.hi])
  if (facts === undefined) throw new ConfigError([`stream ${stream.name}: expected it to be there, it is gone`])
  return facts
}

async function checkHole(tx: Queryable, { stream, window }: CoverageRequest, facts: Facts): Promise<void> {
  const { name, streamId } = stream
  if (window.hi > facts.settledUntil) {
    throw new ConfigError([
      `to: expected ${formatInstant(facts.settledUntil)} or earlier, until where ${name} is planned, got ${formatInstant(window.hi)}`,
    ])
  }
  if (facts.published.length > 0) {
    throw new ConfigError([
      `coverage of ${name}: expected only what is not published, got ${formatRanges(facts.published)}, which is; missing is ${formatRanges(facts.missing)}`,
    ])
  }
  const active = await activeIn(tx, streamId, window)
  if (active.length > 0) {
    throw new ConfigError(
      active.map(
        (ingest) =>
          `coverage of ${name}: expected no active ingest in it, got ${describeActive(ingest)}; wait for it, or take it back with: tributary ingest cancel ${ingest.sourceIngestId}`,
      ),
    )
  }
}

type Change = { readonly statement: Statement; readonly action: string; readonly changed: readonly InstantRange[] }

async function record(
  tx: Queryable,
  { stream, window, actor, reason }: CoverageRequest,
  { statement, action, changed }: Change,
): Promise<CoverageChange> {
  const { streamId, name } = stream
  const nothing = changed.length === 0
  const [now] = nothing
    ? await tx.query<Pick<CoverageChange, 'accepted' | 'checkpoint'>>(AS_IT_IS, [streamId])
    : await tx.query<Pick<CoverageChange, 'accepted' | 'checkpoint'>>(statement, [streamId, window.lo, window.hi])
  const { accepted = [], checkpoint = stream.origin } = now ?? {}
  if (!nothing) {
    const after = { reason, changed: changed.map(formatRange), checkpoint: formatInstant(checkpoint) }
    await recordAudit(tx, { actor, action, subject: name, after })
  }
  const waiting = await tx.query<CoverageChange['waiting'][number]>(WAITING, [streamId, window.lo, window.hi])
  return { stream: name, changed, accepted, checkpoint, waiting }
}

export function formatRange({ lo, hi }: InstantRange): string {
  return `${formatInstant(lo)} … ${formatInstant(hi)}`
}

export function formatRanges(ranges: readonly InstantRange[]): string {
  return ranges.length === 0 ? 'nothing' : ranges.map(formatRange).join(', ')
}
