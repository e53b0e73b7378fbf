import { setTimeout as sleep } from 'node:timers/promises'
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

const ROUNDS_MAX = 20

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
  let messages = late
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await letTimePass(lake)
    await planTick(platform)
    await replayAll(platform)
    await sweep(platform, { hintStaleS: 0 })
    do {
      for (const message of messages) await work(platform, message)
      messages = await receiveAll(platform)
    } while (messages.length > 0)
    if (await isSettled(lake)) return
  }
  const left = await query<{ ingest: string }>(UNSETTLED)
  throw new Error(
    `schedule: expected to settle within ${ROUNDS_MAX} rounds, left are ${left.map(({ ingest }) => ingest).join('; ')}`,
  )
}

const UNSETTLED = `
select concat_ws(' ', lane, lo::date, state, 'epoch', epoch, error_class, error_summary) as ingest
  from provenance.source_ingest where state not in ('published', 'empty', 'cancelled')`

async function isSettled({ query }: Lake): Promise<boolean> {
  return (await query(UNSETTLED)).length === 0
}

/** Reads everything again as the provider says it now, and moves all that was told. */
export async function finish(lake: Lake): Promise<void> {
  if (lake.shape.corrections) {
    lake.correct()
    await lookBack(lake, lake.platform)
    await settle(lake)
  }
  for (let round = 0; round < FEED_ROUNDS_MAX; round++) {
    await letTimePass(lake)
    await moveMetadata(lake.platform, new AbortController().signal)
    const [left] = await lake.query<{ count: number }>(NOT_MOVED)
    if (left?.count === 0) return
    // The feed shows what no transaction of the whole server can still come before; others run beside this one.
    await sleep(FEED_WAIT_MS)
  }
}

const FEED_WAIT_MS = 20
const FEED_ROUNDS_MAX = 100
const NOT_MOVED = `
select (select count(*) from metadata.outbox)
       + (select count(*) from metadata.record r cross join metadata.consumer c where (r.xid, r.seq) > (c.xid, c.seq)) as count`

/** A lookback that is due now. */
export async function lookBack({ query }: Lake, platform: Platform): Promise<void> {
  await query('update ingest.stream set next_lookback_at = null')
  await planLookbackTick(platform)
}
