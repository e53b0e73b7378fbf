import { ConfigError } from '../../errors.ts'
import { formatInstant, type Instant } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { InstantRange } from '../../postgres/types.ts'
import { formatRange } from '../plan/accept-coverage.ts'
import { misaligned } from '../plan/aligned-window.ts'
import type { SelectedStream } from '../plan/select-streams.ts'
import { activeIn, describeActive } from './active-ingests.ts'
import { lockStream } from './lock-stream.ts'

export type ResetRequest = {
  readonly stream: SelectedStream
  /** Coverage from here on is taken back. */
  readonly from: Instant
  readonly actor: string
  readonly reason: string
  /** False: only says what it would take back. */
  readonly apply: boolean
}

export type CoverageState = {
  readonly fetched: readonly InstantRange[]
  readonly published: readonly InstantRange[]
  readonly checkpoint: Instant
}

export type Reset = {
  readonly stream: string
  readonly from: Instant
  readonly applied: boolean
  readonly before: CoverageState
  readonly after: CoverageState
  /** What is no longer covered afterwards: it will be asked for again. Empty: there is nothing to do. */
  readonly taken: Pick<CoverageState, 'fetched' | 'published'>
  /** Their windows are left to them: only a replay reads them again. */
  readonly failed: number
}

const DIFFERENCE: Statement = {
  name: 'coverage_to_reset',
  text: `
select s.paused, s.fetched, s.published, ingest.checkpoint(s.origin, s.published + s.accepted) as checkpoint,
       s.fetched * t.tail as "fetchedTaken", s.published * t.tail as "publishedTaken",
       s.fetched - t.tail as "fetchedAfter", s.published - t.tail as "publishedAfter",
       ingest.checkpoint(s.origin, s.published - t.tail + s.accepted) as "checkpointAfter",
       (select count(*) from provenance.source_ingest i
         where i.stream_id = s.stream_id and i.state in ('failed', 'quarantined') and i.hi > $2::timestamptz) as failed
  from ingest.stream s, (select tstzmultirange(tstzrange($2::timestamptz, null)) as tail) t
 where s.stream_id = $1::bigint`,
}

type Difference = {
  readonly paused: boolean
  readonly fetched: readonly InstantRange[]
  readonly published: readonly InstantRange[]
  readonly checkpoint: Instant
  readonly fetchedTaken: readonly InstantRange[]
  readonly publishedTaken: readonly InstantRange[]
  readonly fetchedAfter: readonly InstantRange[]
  readonly publishedAfter: readonly InstantRange[]
  readonly checkpointAfter: Instant
  readonly failed: number
}

const RESET: Statement = {
  name: 'reset_coverage',
  text: `
update ingest.stream s
   set fetched = s.fetched - tstzmultirange(tstzrange($2::timestamptz, null)),
       published = s.published - tstzmultirange(tstzrange($2::timestamptz, null)),
       updated_at = now()
 where s.stream_id = $1::bigint`,
}

/**
 * Takes the coverage of a paused stream back from an instant on, so that it is asked for and merged again. Curated files
 * and what is accepted stay as they are. Refused while an ingest is active there: none is cancelled. Throws ConfigError.
 */
export async function resetCoverage(db: Database, request: ResetRequest): Promise<Reset> {
  const { stream, from, actor, reason, apply } = request
  const { name, streamId, origin } = stream
  const problems = [...misaligned(stream, 'from', from)]
  if (from < origin) {
    problems.push(
      `from: expected the origin of ${name}, ${formatInstant(origin)}, or later, got ${formatInstant(from)}`,
    )
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return db.transaction(async (tx) => {
    await lockStream(tx, streamId)
    const [difference] = await tx.query<Difference>(DIFFERENCE, [streamId, from])
    if (difference === undefined) throw new ConfigError([`stream ${name}: expected it to be there, it is gone`])
    const before = stateOf(difference)
    const after = {
      fetched: difference.fetchedAfter,
      published: difference.publishedAfter,
      checkpoint: difference.checkpointAfter,
    }
    const taken = { fetched: difference.fetchedTaken, published: difference.publishedTaken }
    const shown = { stream: name, from, before, after, taken, failed: difference.failed }
    if (!apply) return { ...shown, applied: false }
    await checkStill(tx, request, difference)
    if (taken.fetched.length === 0 && taken.published.length === 0) return { ...shown, applied: false }
    await tx.query(RESET, [streamId, from])
    const spelled = { reason, ...spell(after) }
    await recordAudit(tx, { actor, action: 'reset_state', subject: name, before: spell(before), after: spelled })
    return { ...shown, applied: true }
  })
}

async function checkStill(tx: Queryable, { stream, from }: ResetRequest, { paused }: Difference): Promise<void> {
  const { name, streamId } = stream
  if (!paused) {
    throw new ConfigError([
      `stream ${name}: expected a paused stream to reset, got one that runs; first: tributary streams pause ${name} --reason …`,
    ])
  }
  const active = await activeIn(tx, streamId, { lo: from, hi: null })
  if (active.length > 0) {
    throw new ConfigError(
      active.map(
        (ingest) =>
          `stream ${name}: expected no active ingest from ${formatInstant(from)} on, got ${describeActive(ingest)}; wait for it, or take it back with: tributary ingest cancel ${ingest.sourceIngestId}`,
      ),
    )
  }
}

function stateOf({ fetched, published, checkpoint }: Difference): CoverageState {
  return { fetched, published, checkpoint }
}

function spell({ fetched, published, checkpoint }: CoverageState) {
  return {
    fetched: fetched.map(formatRange),
    published: published.map(formatRange),
    checkpoint: formatInstant(checkpoint),
  }
}
