import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ContractError, PermanentError, TransientError } from '../../shared/errors.ts'
import { publish } from '../../shared/ingest/curate/publish.ts'
import { markLanded } from '../../shared/ingest/land/landed.ts'
import { planWindows } from '../../shared/ingest/plan/plan.ts'
import { claimToCurate, claimToLand } from '../../shared/ingest/state/claim.ts'
import { settle } from '../../shared/ingest/state/settle.ts'
import { formatDate } from '../../shared/instant.ts'
import { readStatus } from '../../shared/ops/status.ts'
import { emptyIngest } from '../ingest/empty-ingest.ts'
import { requestOf, useGround } from '../ingest/ground.ts'

const ORIGIN = 18_262
const WINDOW_DAYS_MAX = 10
const OLDER_MAX = 8

/** A day is a granule. `windows` are what the planner made and the model has not ended. */
type Model = {
  end: number
  readonly fetched: Set<number>
  readonly published: Set<number>
  readonly accepted: Set<number>
  readonly windows: Map<string, { readonly lo: number; hi: number; state: string }>
}

const action = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant('plan' as const) },
    { weight: 5, arbitrary: fc.constantFrom('land', 'publish') },
    { weight: 2, arbitrary: fc.constantFrom('advance', 'empty', 'claim', 'retry', 'fail', 'quarantine', 'accept') },
  ),
  pick: fc.nat(1_000),
})

describe('coverage', () => {
  const ground = useGround()

  test('whatever is planned, landed, published, failed and accepted: nothing is planned twice and nothing forgotten', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(150), fc.array(action, { minLength: 5, maxLength: 30 }), async (days, actions) => {
        await ground.clear()
        const world = await openWorld(1 + days)
        for (const { kind, pick } of actions) {
          await world.act(kind, pick)
          await world.check()
        }
        await world.finish()
      }),
      { numRuns: 25 },
    )
  })

  async function openWorld(days: number) {
    const { platform, query } = ground
    const streamId = await ground.stream({ until: formatDate(ORIGIN + days) })
    const model: Model = {
      end: days,
      fetched: new Set(),
      published: new Set(),
      accepted: new Set(),
      windows: new Map(),
    }
    const inState = (...states: string[]) => [...model.windows].filter(([, { state }]) => states.includes(state))
    const claim = async (id: string) => {
      const claimed = await claimToLand(platform.db, requestOf(platform, id))
      if (claimed === null) throw new Error(`ingest ${id}: expected to be claimed`)
      return claimed
    }

    const actions: Readonly<Record<string, (pick: number) => Promise<void>>> = {
      async advance(pick) {
        model.end += 1 + (pick % 15)
        await query('update ingest.stream set until = $1::date, next_plan_at = null', [formatDate(ORIGIN + model.end)])
      },
      async plan() {
        const free = missing(model)
        const { planned } = await planWindows(platform.db, { initiatedBy: 'test', pipelineRunId: null })
        const rows = await query<{ id: string; lo: number; hi: number }>(
          `select source_ingest_id as id, lo::date - '2020-01-01'::date as lo, hi::date - '2020-01-01'::date as hi
             from provenance.source_ingest where state in ('planned', 'landing', 'landed', 'curating')`,
        )
        for (const { id, lo, hi } of rows) {
          const known = model.windows.get(id)
          // What the planner took: a new window, or the days by which it widened one that nobody had begun.
          for (const day of range(known?.hi ?? lo, hi)) expect(free.delete(day), `day ${day} was free`).toBe(true)
          if (known === undefined) expect(planned).toContain(id)
          else if (known.hi !== hi) expect(known.state).toBe('planned')
          expect(hi - lo).toBeLessThanOrEqual(WINDOW_DAYS_MAX)
          model.windows.set(id, { lo, hi, state: known?.state ?? 'planned' })
        }
        expect(free.has(model.end - 1), 'the newest piece is planned').toBe(false)
        if (free.size > 0) expect(inState('planned', 'landing').length).toBeGreaterThanOrEqual(OLDER_MAX)
      },
      async claim(pick) {
        const [id, window] = inState('planned').at(pick % 20) ?? []
        if (id === undefined || window === undefined) return
        await claim(id)
        window.state = 'landing'
      },
      land: (pick) => landWith(pick, 1),
      empty: (pick) => landWith(pick, 0),
      retry: (pick) => end(pick, new TransientError('network'), 'planned'),
      fail: (pick) => end(pick, new PermanentError('refused'), 'failed'),
      quarantine: (pick) => end(pick, new ContractError('broken'), 'quarantined'),
      async publish(pick) {
        const [id, window] = inState('landed').at(pick % 20) ?? inState('landed')[0] ?? []
        if (id === undefined || window === undefined) return
        const claimed = await claimToCurate(platform.db, requestOf(platform, id))
        if (claimed === null) throw new Error(`ingest ${id}: expected to be claimed`)
        await publish(platform.db, claimed, { ...emptyIngest(), outside: 1 }, [])
        for (const day of range(window.lo, window.hi)) model.published.add(day)
        model.windows.delete(id)
      },
      // A person accepts what failed, or what nobody has begun.
      async accept(pick) {
        const failed = inState('failed', 'quarantined')[0]?.[1]
        const [first] = missing(model)
        const hole = failed ?? (first === undefined || pick % 2 ? undefined : { lo: first, hi: first + 1 })
        if (hole === undefined) return
        await query(`update ingest.stream set accepted = accepted + tstzmultirange(tstzrange($1::date, $2::date))`, [
          formatDate(ORIGIN + hole.lo),
          formatDate(ORIGIN + hole.hi),
        ])
        for (const day of range(hole.lo, hole.hi)) model.accepted.add(day)
      },
    }

    async function landWith(pick: number, records: number) {
      const [id, window] = inState('planned').at(pick % 20) ?? inState('planned')[0] ?? []
      if (id === undefined || window === undefined) return
      const claimed = await claim(id)
      await ground.page({ id, epoch: claimed.epoch }, { record_count: records })
      expect(await markLanded(platform.db, claimed)).toBe(records === 0 ? 'empty' : 'landed')
      for (const day of range(window.lo, window.hi)) {
        model.fetched.add(day)
        if (records === 0) model.published.add(day)
      }
      if (records === 0) model.windows.delete(id)
      else window.state = 'landed'
    }

    async function end(pick: number, error: Error, state: string) {
      const [id, window] = inState('landing').at(pick % 20) ?? inState('landing')[0] ?? []
      if (id === undefined || window === undefined) return
      await settle(platform, await ground.claimOf(id), error)
      await query('update provenance.source_ingest set next_attempt_at = null')
      window.state = state
    }

    async function check() {
      const [found] = (await readStatus(platform.db)).streams
      const done = new Set([...model.published, ...model.accepted])
      let checkpoint = 0
      while (done.has(checkpoint)) checkpoint++
      expect(found?.checkpoint).toBe(`${formatDate(ORIGIN + checkpoint)}T00:00:00Z`)
      const head = Math.max(...model.published)
      expect(found?.head).toBe(model.published.size === 0 ? null : `${formatDate(ORIGIN + head + 1)}T00:00:00Z`)
      const [row] = await query<{ fetched: string; published: string }>(
        'select fetched::text as fetched, published::text as published from ingest.stream where stream_id = $1',
        [streamId],
      )
      expect(row).toEqual({ fetched: multirange(model.fetched), published: multirange(model.published) })
    }

    return {
      act: (kind: string, pick: number) => (actions[kind] as (pick: number) => Promise<void>)(pick),
      check,
      /** Work that only succeeds from now on leaves nothing open but what failed. */
      async finish() {
        for (const [, window] of inState('landing')) {
          window.state = 'planned'
          await query(`update provenance.source_ingest set state = 'planned' where state = 'landing'`)
        }
        do {
          await actions.plan?.(0)
          while (inState('planned').length > 0) await landWith(0, 1)
          while (inState('landed').length > 0) await actions.publish?.(0)
        } while (missing(model).size > 0)
        const failed = inState('failed', 'quarantined').flatMap(([, { lo, hi }]) => range(lo, hi))
        const known = new Set([...model.published, ...model.accepted, ...failed])
        expect(range(0, model.end).filter((day) => !known.has(day))).toEqual([])
        await check()
      },
    }
  }
})

/** Days that nobody has fetched, accepted or holds. */
function missing({ end, fetched, accepted, windows }: Model): Set<number> {
  const held = [...windows.values()].flatMap(({ lo, hi }) => range(lo, hi))
  const taken = new Set([...fetched, ...accepted, ...held])
  return new Set(range(0, end).filter((day) => !taken.has(day)))
}

function range(lo: number, hi: number): readonly number[] {
  return Array.from({ length: Math.max(0, hi - lo) }, (_, index) => lo + index)
}

/** As PostgreSQL spells the days of a set. */
function multirange(days: ReadonlySet<number>): string {
  const ranges: string[] = []
  for (const lo of [...days].sort((a, b) => a - b).filter((day) => !days.has(day - 1))) {
    let hi = lo
    while (days.has(hi)) hi++
    ranges.push(`["${formatDate(ORIGIN + lo)} 00:00:00+00","${formatDate(ORIGIN + hi)} 00:00:00+00")`)
  }
  return `{${ranges.join(',')}}`
}
