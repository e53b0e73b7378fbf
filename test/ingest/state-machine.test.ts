import { describe, expect, test } from 'vitest'
import { ContractError, LeaseLostError, PermanentError, TransientError } from '../../shared/errors.ts'
import { publish } from '../../shared/ingest/curate/publish.ts'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { type Claim, claimToCurate, claimToLand } from '../../shared/ingest/state/claim.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { splitWindow } from '../../shared/ingest/state/split.ts'
import {
  EVENTS,
  type Event,
  KINDS,
  type Kind,
  nextState,
  STATES,
  TRANSITIONS,
} from '../../shared/ingest/state/state-machine.ts'
import { emptyIngest } from './empty-ingest.ts'
import { requestOf, useGround } from './ground.ts'

const EPOCH = 3
const LANES: Readonly<Record<Kind, string>> = { fetch: 'live', rebuild: 'reprocess' }

/** Events that only the worker that holds the ingest can cause: elsewhere its functions refuse what a person may do. */
const OF_HOLDER: readonly Event[] = ['fail', 'quarantine']
const HELD = ['landing', 'curating']

describe('the state machine of a SourceIngest', () => {
  const ground = useGround()

  /** Fires the event by the function that does so in production; false where that function reports a refusal. */
  const fire: Readonly<Record<Exclude<Event, 'cancel' | 'replayLanded' | 'replayPlanned'>, Fire>> = {
    claimToLand: async ({ sourceIngestId }) =>
      (await claimToLand(ground.platform.db, requestOf(ground.platform, sourceIngestId))) !== null,
    claimToCurate: async ({ sourceIngestId }) =>
      (await claimToCurate(ground.platform.db, requestOf(ground.platform, sourceIngestId))) !== null,
    land: async (claim) => {
      await ground.page({ id: claim.sourceIngestId, epoch: EPOCH })
      return unlessLost(markLanded(ground.platform.db, claim))
    },
    landEmpty: async (claim) => {
      await ground.page({ id: claim.sourceIngestId, epoch: EPOCH }, { record_count: 0 })
      return unlessLost(markLanded(ground.platform.db, claim))
    },
    publish: async (claim) =>
      unlessLost(publish(ground.platform.db, await ground.claimOf(claim.sourceIngestId), emptyIngest(), [])),
    retry: async (claim) => (await settle(ground.platform, claim, new TransientError('x'))) !== 'lease-lost',
    split: async (claim) =>
      (await ground.platform.db.transaction((tx) => splitWindow(tx, claim, 'too large'))).length > 0,
    fail: async (claim) => (await settle(ground.platform, claim, new PermanentError('x'))) !== 'lease-lost',
    quarantine: async (claim) => (await settle(ground.platform, claim, new ContractError('x'))) !== 'lease-lost',
  }

  for (const kind of KINDS) {
    for (const [event, run] of Object.entries(fire) as [keyof typeof fire, Fire][]) {
      const table = STATES.map((state) => {
        const refused = OF_HOLDER.includes(event) && !HELD.includes(state)
        return { state, next: refused ? null : TRANSITIONS[kind][state][event] }
      })
      const moves = table.flatMap(({ state, next }) => (next === null ? [] : [`${state} to ${next}`]))
      test(`${event} takes a ${kind} ${moves.length === 0 ? 'nowhere' : `from ${moves.join(', ')} and from nowhere else`}`, async () => {
        for (const [index, { state, next }] of table.entries()) {
          const streamId = await ground.stream()
          const window = kind === 'rebuild' ? { lo: null, hi: null } : {}
          const row = {
            lane: LANES[kind],
            state,
            epoch: EPOCH,
            landed_epoch: EPOCH,
            attempts: 1,
            records: 0,
            ...window,
          }
          const id = await ground.ingest(streamId, row)
          const before = await ground.ingestRow(id)
          const fired = await run(await ground.claimOf(id))
          const after = await ground.ingestRow(id)
          expect({ index, state, fired, next: after.state }).toEqual({
            index,
            state,
            fired: next !== null,
            next: next ?? state,
          })
          if (next === null) expect(after).toEqual(before)
          else expect(after).not.toEqual(before)
        }
      })
    }
  }

  for (const event of EVENTS) {
    test(`${event}: the sql that statements use says what the table says, for every kind and state`, async () => {
      const cells = KINDS.flatMap((kind) => STATES.map((state) => ({ lane: LANES[kind], state })))
      const found = await ground.query(
        `select lane, state, ${nextState('i', event)} as next
           from rows from (jsonb_to_recordset($1::jsonb) as (lane text, state text)) with ordinality as i (lane, state, position)
          order by position`,
        [JSON.stringify(cells)],
      )
      expect(found).toEqual(
        KINDS.flatMap((kind) =>
          STATES.map((state) => ({ lane: LANES[kind], state, next: TRANSITIONS[kind][state][event] })),
        ),
      )
    })
  }

  test('no event leads out of published, empty and cancelled', () => {
    const out = KINDS.flatMap((kind) =>
      (['published', 'empty', 'cancelled'] as const).flatMap((state) => Object.values(TRANSITIONS[kind][state])),
    )
    expect(out.every((next) => next === null)).toBe(true)
  })
})

type Fire = (claim: Claim) => Promise<boolean>

async function unlessLost(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (error instanceof LeaseLostError) return false
    throw error
  }
}
