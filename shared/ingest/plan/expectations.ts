import { TransientError, toError } from '../../errors.ts'
import { parseInstant } from '../../instant.ts'
import { ingestionVolume } from '../../metadata/model/kinds/ingestion-volume.ts'
import { schemaSnapshot } from '../../metadata/model/kinds/schema-snapshot.ts'
import { type LatestRecord, type MetadataRepository, SERIES_MAX } from '../../metadata/model/repository.ts'
import type { Platform } from '../../platform.ts'
import type { Statement } from '../../postgres/database.ts'

/** What metadata lets expect of a stream's next windows. */
export type Expectation = {
  /** Of the newest window whose volume is known. */
  readonly recordsPerSecond: number | null
  /** Fingerprint of the newest snapshot of its curated files. */
  readonly schema: string | null
}

export type Expectations = {
  readonly known: ReadonlyMap<number, Expectation>
  /** Streams that need metadata and go without: they are not planned now. */
  readonly heldBack: readonly number[]
}

export const NO_EXPECTATIONS: Expectations = { known: new Map(), heldBack: [] }

/** A planner that waits is worse than one that knows less, ms. */
const DEADLINE_MS = 2_000

const DUE: Statement = {
  name: 'streams_due_to_plan',
  text: `
select stream_id as "streamId", source as "sourceId", dataset as schema, concat_ws('/', subject, timeframe) as table,
       metadata_required as required
  from ingest.stream
 where not paused and interval_s is not null and (next_plan_at is null or next_plan_at <= now())
   and ($1::bigint[] is null or stream_id = any($1::bigint[]))
 order by stream_id`,
}

type DueStream = {
  readonly streamId: number
  readonly sourceId: string
  readonly schema: string
  readonly table: string
  readonly required: boolean
}

/**
 * The last volume and schema of every stream that is due, from the metadata repository, wherever it is. Where it does
 * not answer in time the planner goes on without, and only streams that say `"metadata": "required"` wait.
 */
export async function readExpectations(
  { db, metadata, log }: Platform,
  { streamIds = null, deadlineMs = DEADLINE_MS }: { streamIds?: readonly number[] | null; deadlineMs?: number } = {},
): Promise<Expectations> {
  const due = await db.query<DueStream>(DUE, [streamIds])
  const known = new Map<number, Expectation>()
  if (due.length === 0) return NO_EXPECTATIONS
  try {
    await withinDeadline(async (signal) => readAll(await metadata.repository(), due, known, signal), deadlineMs)
  } catch (thrown) {
    const without = due.filter(({ streamId }) => !known.has(streamId))
    const heldBack = without.filter(({ required }) => required).map(({ streamId }) => streamId)
    const counts = { streams: without.length, held_back: heldBack.length }
    log.warn('planned_without_metadata', { ...counts, error: toError(thrown) })
    return { known, heldBack }
  }
  return { known, heldBack: [] }
}

async function readAll(
  repository: MetadataRepository,
  due: readonly DueStream[],
  known: Map<number, Expectation>,
  signal: AbortSignal,
): Promise<void> {
  for (let start = 0; start < due.length && !signal.aborted; start += SERIES_MAX) {
    const streams = due.slice(start, start + SERIES_MAX)
    const seriesOf = (kind: string) =>
      streams.map(({ sourceId, schema, table }) => ({ target: { sourceId, schema, table }, kind }))
    const [volumes, schemas] = await Promise.all([
      repository.latestOfMany(seriesOf(ingestionVolume.kind)),
      repository.latestOfMany(seriesOf(schemaSnapshot.kind)),
    ])
    // Too late: who waited has gone on without these.
    if (signal.aborted) return
    for (const [index, { streamId }] of streams.entries()) {
      known.set(streamId, { recordsPerSecond: rateOf(volumes[index]), schema: fingerprintOf(schemas[index]) })
    }
  }
}

function rateOf(latest: LatestRecord | null | undefined): number | null {
  const { window, payload } = latest?.record ?? {}
  const [start, end] = [parseInstant(window?.start ?? ''), parseInstant(window?.end ?? '')]
  if (start === undefined || end === undefined || typeof payload?.records !== 'number') return null
  return payload.records / (Number(end - start) / 1e6)
}

function fingerprintOf(latest: LatestRecord | null | undefined): string | null {
  const fingerprint = latest?.record.payload.fingerprint
  return typeof fingerprint === 'string' ? fingerprint : null
}

/** One controller and a plain timer: on Node 20 a signal made of `AbortSignal.timeout` may never fire. */
async function withinDeadline(work: (signal: AbortSignal) => Promise<void>, deadlineMs: number): Promise<void> {
  const late = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late.abort()
      reject(new TransientError(`metadata: expected an answer within ${deadlineMs} ms, got none`))
    }, deadlineMs)
  })
  const working = work(late.signal)
  // Whoever comes too late fails alone.
  working.catch(() => undefined)
  try {
    await Promise.race([working, deadline])
  } finally {
    clearTimeout(timer)
  }
}
