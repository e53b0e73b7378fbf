import { AuthError, CancelledError, ContractError } from '../../errors.ts'
import type { IoHook } from '../../io-hook.ts'
import { sample } from '../../json.ts'
import type { Log } from '../../log/log.ts'
import type { FeedConsumer } from '../feed/consumer.ts'
import type { FedRecord } from '../feed/feed.ts'
import { datasetEventOf } from '../open-lineage/dataset-events.ts'
import { eventText, type LineageEvent } from '../open-lineage/event.ts'
import { type EndedRun, ingestionEvents } from '../open-lineage/ingestion-events.ts'
import type { Naming } from '../open-lineage/naming.ts'
import { reconEvents } from '../open-lineage/recon-events.ts'
import { withAttempts } from '../remote/attempts.ts'
import type { Send } from '../remote/exchange.ts'
import { createRemoteTransport } from '../remote/transport.ts'
import { endedRuns } from './open-lineage-runs.ts'

export const OPEN_LINEAGE_CONSUMER = 'open-lineage'

export type OpenLineageOptions = Naming & {
  /** `OPENLINEAGE_URL`: of a receiver, or of the route in it; Marquez' route is taken where it names none. */
  readonly url: string
  /** `OPENLINEAGE_API_KEY`: a bearer token. */
  readonly apiKey?: string | undefined
  /** `OPENLINEAGE_DATASET_EVENTS`: not every receiver takes them. */
  readonly datasetEvents: boolean
  readonly log: Log
  readonly hook?: IoHook
  readonly backoffBaseMs?: number
}

const DEFAULT_PATH = '/api/v1/lineage'
/** Targets at once; of one target one event after the other. */
const LANES = 8
const POLICY = { attemptsMax: 3, attemptMs: 10_000, deadlineMs: 30_000 }

/** The event itself is not what this receiver takes: no repetition changes that, and what follows shall not wait. */
const REFUSED: readonly number[] = [400, 409, 413, 415, 422]

/**
 * Tells a receiver of OpenLineage what was stored: START before COMPLETE, any 2xx is success. An event that it refuses
 * is logged and left; where it is away, or takes nothing from us, the cursor waits. Whatever is told again after a
 * crash carries the same run ids.
 */
export function openLineageConsumer(options: OpenLineageOptions): FeedConsumer {
  const post = poster(options)
  // Of a page that failed: what was told already is not told again by this process.
  let told = new Set<string>()
  return {
    name: OPEN_LINEAGE_CONSUMER,
    async consume(records, { db, signal }) {
      const runs = await endedRuns(db, records)
      const lanes = lanesOf(records.filter(({ record }) => !told.has(record.recordId)))
      const work = async () => {
        for (let lane = lanes.shift(); lane !== undefined; lane = lanes.shift()) {
          for (const fed of lane) {
            for (const event of eventsOf(fed, runs, options)) await post(event, signal)
            told.add(fed.record.recordId)
          }
        }
      }
      const done = await Promise.allSettled(Array.from({ length: LANES }, work))
      const failed = done.find((one) => one.status === 'rejected')
      if (failed !== undefined) throw failed.reason
      told = new Set()
    },
  }
}

/** By target, in the order of the feed. */
function lanesOf(records: readonly FedRecord[]): (readonly FedRecord[])[] {
  const lanes = new Map<string, FedRecord[]>()
  for (const fed of records) {
    const { sourceId, schema, table } = fed.record.target
    const key = JSON.stringify([fed.tenant, sourceId, schema, table])
    const lane = lanes.get(key)
    if (lane === undefined) lanes.set(key, [fed])
    else lane.push(fed)
  }
  return [...lanes.values()]
}

function eventsOf(
  fed: FedRecord,
  runs: ReadonlyMap<FedRecord, EndedRun>,
  options: OpenLineageOptions,
): readonly LineageEvent[] {
  const { record } = fed
  const ended = runs.get(fed)
  if (ended !== undefined) return ingestionEvents(ended, options)
  if (record.kind === 'recon_result') return reconEvents(record, options)
  const event = options.datasetEvents ? datasetEventOf(record, options) : null
  return event === null ? [] : [event]
}

function poster({ url, apiKey, log, hook, backoffBaseMs = 500 }: OpenLineageOptions) {
  const send: Send = createRemoteTransport(hook)
  const parsed = new URL(url)
  const subject = `openlineage ${parsed.host}`
  const route = parsed.pathname === '/' ? `${parsed.origin}${DEFAULT_PATH}${parsed.search}` : url
  const headers = apiKey ? { authorization: `Bearer ${apiKey}` } : {}
  return async (event: LineageEvent, signal: AbortSignal) => {
    if (signal.aborted) throw new CancelledError(`${subject}: told to stop`)
    const request = { method: 'POST', url: route, subject, headers, body: Buffer.from(eventText(event)) } as const
    const { status, body } = await withAttempts(send, request, { ...POLICY, backoffBaseMs }, signal)
    if (status >= 200 && status <= 299) return
    const said = sample(Buffer.from(body).toString('utf8'), 200)
    if (REFUSED.includes(status)) {
      const about = 'run' in event ? `${event.eventType} ${event.job.name}` : event.dataset.name
      log.warn('open_lineage_event_refused', { status, about, said })
      return
    }
    const message = `${subject}: expected status 2xx, got ${status}: ${said}`
    throw status === 401 || status === 403 ? new AuthError(message) : new ContractError(message)
  }
}
