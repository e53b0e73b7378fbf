import { planLookbackTick } from '../../shared/ingest/plan/plan-lookback-tick.ts'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { replayIngests } from '../../shared/ingest/state/replay.ts'
import { readUnpublished } from '../../shared/ingest/state/unpublished.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import { curate, land, type WorkLimits } from '../../shared/ingest/work.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import type { Platform } from '../../shared/platform.ts'
import type { Lake } from './random-schedules-lake.ts'

export type Message = { readonly queue: 'land' | 'curate'; readonly body: unknown }

const ROUNDS_MAX = 30

export function limits(): WorkLimits {
  return { deadlineMs: 60_000, waitMsMax: 1_000, stop: new AbortController().signal }
}

export function work(platform: Platform, { queue, body }: Message): Promise<unknown> {
  return queue === 'land' ? land(platform, body, limits()) : curate(platform, body, limits())
}

/** Takes all messages out of the queues. */
export async function receiveAll({ queues }: Platform): Promise<readonly Message[]> {
  const all: Message[] = []
  for (const queue of ['land', 'curate'] as const) {
    for (const message of await queues.receive(queue, { countMax: 32, visibilitySeconds: 300 })) {
      await queues.remove(queue, message)
      all.push({ queue, body: JSON.parse(message.body ?? '') })
    }
  }
  return all
}

/** Time passes: leases run out, what waited is due, and hints count as lost. */
export async function letTimePass({ query }: Pick<Lake, 'query'>): Promise<void> {
  await query(`
update provenance.source_ingest
   set lease_expires_at = case when state in ('landing', 'curating') then now() - interval '1 second' end,
       next_attempt_at = null, queued_at = null
 where state in ('planned', 'landing', 'landed', 'curating')`)
  await query(`update metadata.consumer set lease_expires_at = null`)
  await query(`update metadata.outbox set due_at = now() where due_at > now()`)
}

export async function replayAll(platform: Platform): Promise<void> {
  const ingests = await readUnpublished(platform.db, { states: ['failed', 'quarantined'] })
  await replayIngests(platform, { ingests, actor: 'test', reason: 'schedule' })
}

/** Plans, sweeps, replays and works until nothing is left to do. `late`: messages that are still on their way. */
export async function settle(lake: Lake, late: readonly Message[] = []): Promise<void> {
  const { platform, query } = lake
  let messages = [...late]
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await letTimePass(lake)
    await planTick(platform)
    await replayAll(platform)
    await sweep(platform, { hintStaleS: 0 })
    messages.push(...(await receiveAll(platform)))
    for (const message of messages) await work(platform, message)
    messages = []
    const [left] = await query<{ count: number }>(
      `select count(*) from provenance.source_ingest where state not in ('published', 'empty', 'cancelled')`,
    )
    if (left?.count === 0) return
  }
  throw new Error(`schedule: expected to settle within ${ROUNDS_MAX} rounds`)
}

/** Reads everything again as the provider says it now, and moves all that was told. */
export async function finish(lake: Lake): Promise<void> {
  if (lake.shape.corrections) {
    lake.correct()
    await lookBack(lake, lake.platform)
    await settle(lake)
  }
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await letTimePass(lake)
    await moveMetadata(lake.platform, new AbortController().signal)
    const [left] = await lake.query<{ count: number }>('select count(*) from metadata.outbox')
    if (left?.count === 0) return
  }
}

/** A lookback that is due now. */
export async function lookBack({ query }: Lake, platform: Platform): Promise<void> {
  await query('update ingest.stream set next_lookback_at = null')
  await planLookbackTick(platform)
}
