import { TransientError } from '../errors.ts'
import { openAlert } from '../ops/alerts.ts'
import { type Platform, transformVersions } from '../platform.ts'
import { curateLanded } from './curate/curate-landed.ts'
import { rebuildPartition } from './curate/rebuild-partition.ts'
import { sendHint, sendHints } from './hints.ts'
import { fetchWindow } from './land/fetch-window.ts'
import { landFile } from './land/land-file.ts'
import { parseMessage } from './message.ts'
import { type Claim, type ClaimRequest, type CurateClaim, claimToCurate, claimToLand, stateOf } from './state/claim.ts'
import { holdLease } from './state/lease.ts'
import { type Settled, settle } from './state/settle.ts'
import { WindowTooLargeError } from './state/split.ts'

/** What a message led to. A message is a hint: `refused` is an everyday answer, never an error. */
export type Worked = 'landed' | 'empty' | 'published' | 'refused' | 'bad-message' | Settled

/** Whether metadata was told: the ingest is over, for better or worse. */
export function endsIngest(worked: Worked): boolean {
  return ['empty', 'published', 'quarantined', 'failed'].includes(worked)
}

export type WorkLimits = {
  /** The caller is told to stop: the ingest is given back. */
  readonly stop: AbortSignal
  /** Work that is not done by then ends itself, before the host ends it. */
  readonly deadlineMs: number
  /** How long rate tokens may be waited for in place. */
  readonly waitMsMax: number
}

/** `land`: claim, bring every page of the window, or the file, into raw, and prove that it is complete. Throws only where Postgres does not answer. */
export async function land(platform: Platform, body: unknown, limits: WorkLimits): Promise<Worked> {
  const sourceIngestId = await readMessage(platform, 'land', body)
  if (sourceIngestId === null) return 'bad-message'
  const claim = await claimToLand(platform.db, claimRequest(platform, sourceIngestId))
  if (claim === null) return refused(platform, 'land', sourceIngestId)
  const worked = await landClaimed(platform, claim, limits)
  if (worked === 'landed') await sendHint(platform, { queue: 'curate', sourceIngestId })
  return worked
}

/** Lands an ingest that is claimed already. Nobody is told to curate it: its caller does, or the sweep tells somebody. */
export async function landClaimed(platform: Platform, claim: Claim, limits: WorkLimits): Promise<Worked> {
  const { stop, deadlineMs, waitMsMax } = limits
  return underLease({
    platform,
    claim,
    stop,
    deadlineMs,
    late: new WindowTooLargeError(`expected to be fetched within ${deadlineMs} ms`),
    work: (signal) =>
      claim.lo === null ? landFile(platform, claim, signal) : fetchWindow(platform, claim, { signal, waitMsMax }),
  })
}

/** `curate`: claim, parse the raw pages, merge them into curated files (or rebuild one), publish. Throws only where Postgres does not answer. */
export async function curate(platform: Platform, body: unknown, limits: WorkLimits): Promise<Worked> {
  const sourceIngestId = await readMessage(platform, 'curate', body)
  if (sourceIngestId === null) return 'bad-message'
  const claim = await claimToCurate(platform.db, claimRequest(platform, sourceIngestId))
  if (claim === null) return refused(platform, 'curate', sourceIngestId)
  return curateClaimed(platform, claim, limits)
}

/** Curates an ingest that is claimed already. */
export async function curateClaimed(
  platform: Platform,
  claim: CurateClaim,
  { stop, deadlineMs }: Pick<WorkLimits, 'stop' | 'deadlineMs'>,
): Promise<Worked> {
  return underLease({
    platform,
    claim,
    stop,
    deadlineMs,
    late: new TransientError(`expected to be curated within ${deadlineMs} ms`),
    work: async (signal) => {
      if (claim.lane === 'reprocess') {
        await rebuildPartition(platform, claim, signal)
      } else {
        const rebuilds = await curateLanded(platform, claim, signal)
        await sendHints(
          platform,
          rebuilds.map((id) => ({ sourceIngestId: id, queue: 'curate' as const })),
        )
      }
      return 'published' as const
    },
  })
}

async function readMessage(platform: Platform, queue: string, body: unknown): Promise<string | null> {
  const message = parseMessage(body)
  if (message.ok) return message.sourceIngestId
  await reportBadMessage(platform, queue, message.problem)
  return null
}

/** The message is acknowledged; the alert and the log keep what it was. */
export async function reportBadMessage(platform: Platform, queue: string, problem: string): Promise<void> {
  platform.log.error('bad_message', { queue, problem })
  await openAlert(platform.db, { kind: 'bad_message', severity: 'warning', subject: queue, detail: { problem } })
}

async function refused(platform: Platform, queue: string, sourceIngestId: string): Promise<Worked> {
  const state = await stateOf(platform.db, sourceIngestId)
  if (state !== null) {
    platform.log.info('claim_refused', { queue, source_ingest_id: sourceIngestId, ...state })
    return 'refused'
  }
  await reportBadMessage(platform, queue, `message: expected an ingest of this database, got ${sourceIngestId}`)
  return 'bad-message'
}

/** How this process claims an ingest. */
export function claimRequest(platform: Platform, sourceIngestId: string): ClaimRequest {
  return {
    sourceIngestId,
    worker: platform.worker,
    leaseSeconds: platform.settings.leaseSeconds,
    transformVersions: transformVersions(platform),
  }
}

type LeasedWork<T> = Pick<WorkLimits, 'stop' | 'deadlineMs'> & {
  readonly platform: Platform
  readonly claim: Claim
  /** What it means that the deadline has passed. */
  readonly late: Error
  readonly work: (signal: AbortSignal) => Promise<T>
}

async function underLease<T extends Worked>(leased: LeasedWork<T>): Promise<T | Settled> {
  const { platform, claim, stop, deadlineMs, late, work } = leased
  const { db, log, settings } = platform
  const deadline = { afterMs: deadlineMs, late }
  const lease = holdLease({ db, claim, leaseSeconds: settings.leaseSeconds, stop, log, deadline })
  const startedMs = performance.now()
  try {
    const worked = await work(lease.signal)
    log.info(`ingest_${worked}`, {
      source_ingest_id: claim.sourceIngestId,
      epoch: claim.epoch,
      stream: claim.subject,
      duration_ms: Math.round(performance.now() - startedMs),
    })
    return worked
  } catch (error) {
    // An abort surfaces as whatever was under way; its reason says what to do.
    return await settle(platform, claim, lease.signal.aborted ? lease.signal.reason : error)
  } finally {
    lease.end()
  }
}

/** A message that the host gave up on: its ingest is not touched, claims counted in its row decide about quarantine. */
export async function reportPoison(platform: Platform, queue: string, body: unknown): Promise<void> {
  const message = parseMessage(body)
  const detail = message.ok ? { source_ingest_id: message.sourceIngestId } : { problem: message.problem }
  platform.log.error('poison_message', { queue, ...detail })
  await openAlert(platform.db, { kind: 'poison_message', severity: 'critical', subject: queue, detail })
}
