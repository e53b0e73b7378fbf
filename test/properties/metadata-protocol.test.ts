import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PARTS, type Part } from './metadata/parts.ts'
import { play, type Schedule, schedules } from './metadata/schedule.ts'
import { Violation } from './metadata/violation.ts'

/**
 * The metadata platform as an abstract model: transactions with locks, snapshots and xids, the product's own folding of
 * batches and its own identities, and one yield per I/O operation. A schedule decides who goes on, who is killed, sleeps
 * past its lease or loses an answer, when a day is over and when a backup is restored; the promises are asked of every
 * committed state and again when everything was drained, everybody woke up and all was compacted.
 *
 * `TRIBUTARY_PROTOCOL_SEED=n` replays a run, with `TRIBUTARY_PROTOCOL_PATH=a:b:c` one schedule of it;
 * `TRIBUTARY_PROTOCOL_RUNS=n` plays more or fewer.
 */
const RUNS = Number(process.env.TRIBUTARY_PROTOCOL_RUNS ?? 20_000)
const SEED = Number(process.env.TRIBUTARY_PROTOCOL_SEED ?? Date.now() % 2 ** 31)
const PATH = process.env.TRIBUTARY_PROTOCOL_PATH

/** Found by their schedule in fewer runs than this; a fixed seed, so that the test says the same every time. */
const RUNS_TO_FIND_MAX = 10_000
const SEED_TO_FIND = 7

/** Rules that few schedules need are looked for from the past in which they matter. */
const PAST_OF: Partial<Record<Part, number>> = {
  'one storing statement per transaction': 1,
  'one lock order': 3,
  'the log after the first page': 6,
  'the table by etag': 1,
  'rollups under a lock': 1,
  'the boundary moves from where it was': 2,
}

/** What a schedule breaks, with the whole story; null where every promise is kept. */
function storyOf(schedule: Schedule, without: Part | null): string | null {
  const trace: string[] = []
  try {
    play(schedule, without, trace)
    return null
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    return [...trace, `=> ${error.message}`].join('\n')
  }
}

function search(without: Part | null, options: fc.Parameters<[Schedule]>, past?: number) {
  const property = fc.property(schedules(past), (schedule) => void play(schedule, without, null))
  return fc.check(property, options)
}

describe('the metadata platform', () => {
  // Lost leases and lost answers are thrown by the million: their stacks cost more than the model.
  const { stackTraceLimit } = Error
  beforeAll(() => {
    Error.stackTraceLimit = 0
  })
  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit
  })

  test(`loses nothing, doubles nothing and comes to an end in ${RUNS} schedules of crashes, zombies, lost answers, late work and restores`, () => {
    console.log(`metadata model: ${RUNS} schedules, TRIBUTARY_PROTOCOL_SEED=${SEED}`)
    const options = { numRuns: RUNS, seed: SEED, ...(PATH === undefined ? {} : { path: PATH }) }
    const { counterexample, counterexamplePath, errorInstance } = search(null, options)
    if (counterexample === null) return
    const story = storyOf(counterexample[0], null) ?? String(errorInstance)
    throw new Error(
      `TRIBUTARY_PROTOCOL_SEED=${SEED} TRIBUTARY_PROTOCOL_PATH=${counterexamplePath} breaks a promise:\n` +
        `${JSON.stringify(counterexample[0])}\n${story}`,
    )
  }, 300_000)

  for (const [part, what] of Object.entries(PARTS) as [Part, string][]) {
    test(`needs its rule "${part}": a promise breaks when ${what}`, () => {
      const options = { numRuns: RUNS_TO_FIND_MAX, seed: SEED_TO_FIND, endOnFailure: true }
      const { counterexample } = search(part, options, PAST_OF[part])
      if (counterexample === null)
        throw new Error(`expected a violation within ${RUNS_TO_FIND_MAX} schedules, got none`)
      expect(storyOf(counterexample[0], part)).toMatch(/=> [a-z]+: /)
      expect(storyOf(counterexample[0], null)).toBeNull()
    })
  }
})
