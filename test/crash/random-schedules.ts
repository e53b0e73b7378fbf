import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { type TestEnvironment, useTestEnvironment } from '../support/environment.ts'
import { clearLake } from './random-schedules-clear.ts'
import { type LakeServices, openLake, type Shape } from './random-schedules-lake.ts'
import { playSchedule, type Schedule } from './random-schedules-play.ts'
import { differencesOf, readResult, type ScheduleResult } from './random-schedules-result.ts'
import { finish, settle } from './random-schedules-settle.ts'

// More only wait for the two cores.
const AT_ONCE = 3
/** Schedules that one database and one account see, one after the other: there are 1,200 accounts in a run. */
const SCHEDULES_PER_LAKE = 25
const TRACE_MAX = 400

export type SchedulesOptions = {
  readonly count: number
  readonly file: string
  readonly timeoutMs: number
}

/** `TRIBUTARY_SEED=<seed>` replays one. */
export function describeSchedules({ count, file, timeoutMs }: SchedulesOptions): void {
  const seeds = seedsOf(count)

  describe('random schedules of two to four workers, faults, sleep, and messages late, twice or never', () => {
    const environment = useTestEnvironment()

    test(
      `I1 nothing lost, I2 nothing doubled, I3 same bytes, I5 no zombie wins, I6 counts add up: ${seeds.length} of them end as undisturbed runs do`,
      async () => {
        const clean = createCleanRuns(() => newServices(environment))
        const failures: string[] = []
        const rest = [...seeds]
        const lane = async () => {
          let services: LakeServices | undefined
          for (let played = 0, seed = rest.shift(); seed !== undefined; played++, seed = rest.shift()) {
            if (services === undefined || played % SCHEDULES_PER_LAKE === 0) services = await newServices(environment)
            const failure = await playOne({ seed, services, was: await clean(seed) })
            if (failure === null) await clearLake(services)
            else {
              failures.push(`TRIBUTARY_SEED=${seed} npx vitest run ${file}\n${failure}`)
              services = undefined
            }
          }
        }
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, seeds.length) }, lane))
        process.stdout.write(`random schedules: ${seeds.length} from ${seeds[0]} on, ${failures.length} failures\n`)
        expect(failures.join('\n\n')).toBe('')
      },
      timeoutMs,
    )
  })
}

export type Played = {
  readonly seed: string
  readonly services: LakeServices
  /** Of the undisturbed run. */
  readonly was: ScheduleResult
  readonly before?: Schedule['before']
}

/** Other ones in every run, or the one that is to be replayed. */
export function seedsOf(count: number): readonly string[] {
  const only = process.env.TRIBUTARY_SEED
  const base = Date.now() % 1_000_000_000
  return only ? [only] : Array.from({ length: count }, (_, index) => `${base}-${index}`)
}

/** Null where it ended as the undisturbed run; else what differs, and how it came there. */
export async function playOne({ seed, services, was, before }: Played): Promise<string | null> {
  const trace: string[] = []
  const lake = await openLake(shapeOf(seed), services)
  try {
    await playSchedule({ seed, lake, say: (line) => trace.push(line), ...(before && { before }) })
    await finish(lake)
    const result = await readResult(lake)
    const differences = differencesOf(result, was)
    if (differences.length === 0) return null
    return [...trace.slice(-TRACE_MAX), ...differences.map((difference) => `=> ${difference}`)].join('\n')
  } catch (error) {
    return [...trace.slice(-TRACE_MAX), `=> ${error instanceof Error ? error.stack : error}`].join('\n')
  } finally {
    await lake.close()
  }
}

// Few, as each costs an undisturbed run of its own.
const SHAPES: readonly Shape[] = [
  { streams: 1, windows: 3, barsPerPage: 5, rejects: false, corrections: true },
  { streams: 2, windows: 2, barsPerPage: 7, rejects: true, corrections: false },
  { streams: 1, windows: 2, barsPerPage: 5, rejects: true, corrections: true },
  { streams: 1, windows: 4, barsPerPage: 7, rejects: false, corrections: false },
]

function shapeOf(seed: string): Shape {
  return SHAPES[Math.floor(seededRandom(`${seed} shape`)() * SHAPES.length)] as Shape
}

/** The same without workers that fail, once for each shape. */
export function createCleanRuns(services: () => Promise<LakeServices>) {
  const known = new Map<string, Promise<ScheduleResult>>()
  const run = async (shape: Shape) => {
    const lake = await openLake(shape, await services())
    try {
      await settle(lake)
      await finish(lake)
      return await readResult(lake)
    } finally {
      await lake.close()
    }
  }
  return (seed: string) => {
    const shape = shapeOf(seed)
    const name = JSON.stringify(shape)
    const result = known.get(name) ?? run(shape)
    known.set(name, result)
    return result
  }
}

export async function newServices(environment: TestEnvironment): Promise<LakeServices> {
  return {
    databaseUrl: await environment.newDatabase(),
    storageConnectionString: environment.newStorageAccount(),
  }
}
