import { type Random, seededRandom } from '../../jobs/local/providers/seeded-random.ts'
import { planTick } from '../../shared/ingest/plan/plan-tick.ts'
import { sweep } from '../../shared/ingest/sweep.ts'
import type { IoOperation } from '../../shared/io-hook.ts'
import { moveMetadata } from '../../shared/metadata/move.ts'
import type { Platform } from '../../shared/platform.ts'
import { FAULTS } from '../support/faulty-io.ts'
import type { Lake } from './random-schedules-lake.ts'
import { letTimePass, lookBack, type Message, receiveAll, replayAll, settle, work } from './random-schedules-settle.ts'
import { createWorker, type Worker } from './random-schedules-worker.ts'

const TURNS_MIN = 60
const TURNS_MAX = 160
const BURST_MAX = 8
/** Operations until a fault that was decided on happens. */
const FAULT_AFTER_MAX = 6
/** Steps to the next moment worth sleeping at. */
const STEPS_TO_WRITE_MAX = 12

/** What may happen, and how often. */
const TURNS = {
  go: 50,
  begin: 25,
  fault: 10,
  sleep: 8,
  wake: 8,
  timePasses: 3,
  correct: 1,
} as const
type Turn = keyof typeof TURNS

const ACTIONS = { deliver: 60, plan: 8, sweep: 12, move: 10, lookBack: 5, replay: 5 } as const

export type Schedule = {
  readonly seed: string
  readonly lake: Lake
  readonly say: (line: string) => void
  /** Before each turn, with nothing under way; says whether a service is gone just now. */
  readonly before?: (turn: number, turns: number) => Promise<boolean>
}

/**
 * Two to four workers do what timers, messages and people have them do, an operation at a time in an order that the
 * seed decides; they fail, sleep past their leases and are killed, and messages come late, twice, in any order or not at
 * all. Then one more settles what they left, those who slept wake up in the world that has gone on, and it settles again.
 */
export async function playSchedule({ seed, lake, say, before }: Schedule): Promise<void> {
  const random = seededRandom(seed)
  const workers = Array.from({ length: 2 + below(random, 3) }, (_, index) => createWorker(lake, `w${index}`, say))
  const play = createPlay(lake, workers, random, say)
  try {
    await play.prepare()
    const turns = TURNS_MIN + below(random, TURNS_MAX - TURNS_MIN)
    for (let turn = 0; turn < turns; turn++) {
      const gone = (await before?.(turn, turns)) ?? false
      try {
        await play[weighted(random, TURNS)]()
      } catch (error) {
        // Of what is done here, around the workers: without the services it cannot be.
        if (!gone) throw error
      }
    }
    for (const worker of play.awake()) await worker.free()
    say('settles')
    await settle(lake, play.messages)
    const sleepers = workers.filter((worker) => worker.busy())
    for (const worker of sleepers) {
      say(`${worker.name} wakes at last`)
      await worker.free()
    }
    if (sleepers.length > 0) await settle(lake)
  } finally {
    for (const worker of workers) await worker.close()
  }
}

type Play = Readonly<Record<Exclude<Turn, 'begin'>, () => Promise<void>>> & {
  readonly begin: (action?: keyof typeof ACTIONS) => Promise<void>
  readonly prepare: () => Promise<void>
  readonly awake: () => readonly Worker[]
  /** Received and not yet handled. */
  readonly messages: Message[]
}

function createPlay(lake: Lake, workers: readonly Worker[], random: Random, say: (line: string) => void): Play {
  const messages: Message[] = []
  const asleep = new Set<Worker>()
  const awake = () => workers.filter((worker) => !asleep.has(worker))
  const one = <T>(items: readonly T[]): T | undefined => items[below(random, items.length)]

  const takeMessage = (): Message | undefined => {
    const at = below(random, messages.length)
    const message = messages[at]
    // One in five stays, and comes again.
    if (message !== undefined && random() < 0.8) messages.splice(at, 1)
    return message
  }
  const actions: Record<keyof typeof ACTIONS, (worker: Worker) => Promise<void>> = {
    async deliver(worker) {
      messages.push(...(await receiveAll(lake.platform)))
      const message = takeMessage()
      if (message === undefined) return
      const back = () => messages.push(message)
      await worker.start(`${message.queue} ${shown(message)}`, (platform) => work(platform, message), back)
    },
    plan: (worker) => worker.start('plan', planTick),
    sweep: (worker) => worker.start('sweep', (platform) => sweep(platform, { hintStaleS: 0 })),
    move: (worker) => worker.start('move', (platform) => moveMetadata(platform, new AbortController().signal)),
    lookBack: (worker) => worker.start('lookback', (platform: Platform) => lookBack(lake, platform)),
    replay: (worker) => worker.start('replay', replayAll),
  }

  const steps = async (worker: Worker, countMax: number, until: (next: IoOperation) => boolean = () => false) => {
    for (let step = 0; step < countMax && worker.busy(); step++) {
      const next = worker.gate().next()
      if (next !== undefined && until(next)) return
      say(`${worker.name} ${await worker.step()}`)
    }
  }

  const play: Play = {
    messages,
    awake,
    /** A third begins before anything is planned, a third with windows to land, a third with windows to curate. */
    async prepare() {
      const begun = below(random, 3)
      if (begun >= 1) await planTick(lake.platform)
      if (begun >= 2) for (const message of await receiveAll(lake.platform)) await work(lake.platform, message)
      say(`begins with windows ${['unplanned', 'planned', 'landed'][begun]}`)
    },
    async begin(action = weighted(random, ACTIONS)) {
      const worker = one(awake().filter((worker) => !worker.busy()))
      if (worker !== undefined) await actions[action](worker)
    },
    async go() {
      const ready = awake().filter((worker) => worker.busy())
      // Now and then two at once, so that they meet within one operation of the services.
      const together = random() < 0.2 ? ready.slice(0, 2) : [one(ready)].flatMap((worker) => worker ?? [])
      const burst = 1 + below(random, BURST_MAX)
      await Promise.all(together.map((worker) => steps(worker, burst)))
    },
    async fault() {
      const worker = one(awake().filter((worker) => worker.busy()))
      const kind = one(FAULTS)
      if (worker === undefined || kind === undefined) return
      const after = below(random, FAULT_AFTER_MAX)
      say(`${worker.name} will meet ${kind} after ${after}`)
      worker.gate().arm(kind, after)
    },
    async sleep() {
      const worker = one(awake().filter((worker) => worker.busy()))
      if (worker === undefined) return
      await steps(worker, STEPS_TO_WRITE_MAX, one(MOMENTS))
      if (!worker.busy()) return
      say(`${worker.name} sleeps before ${worker.gate().next()?.subject}`)
      asleep.add(worker)
      if (random() < 0.5) return
      await play.timePasses()
      await sweep(lake.platform, { hintStaleS: 0 })
    },
    async wake() {
      const worker = one([...asleep])
      if (worker === undefined) return
      say(`${worker.name} wakes`)
      asleep.delete(worker)
    },
    async timePasses() {
      say('time passes')
      if (random() < 0.2) messages.pop()
      await letTimePass(lake)
    },
    async correct() {
      say('the provider corrects')
      lake.correct()
    },
  }
  return play
}

/** What another worker may have made wrong by the time it happens: each as likely, however rare it is. */
const MOMENTS: readonly ((next: IoOperation) => boolean)[] = [
  ({ action, subject }) => action === 'put' && subject.startsWith('raw/'),
  ({ action, subject }) => action === 'put' && subject.startsWith('curated/'),
  ...['insert_raw_page', 'land_ingest', 'list_in_partition', 'publish_ingest', 'retry_ingest', 'move_metadata'].map(
    (statement) =>
      ({ subject }: IoOperation) =>
        subject.startsWith(statement),
  ),
]

function below(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}

function weighted<Name extends string>(random: Random, weights: Readonly<Record<Name, number>>): Name {
  const names = Object.keys(weights) as Name[]
  const tickets = names.flatMap((name) => Array<Name>(weights[name]).fill(name))
  return tickets[below(random, tickets.length)] as Name
}

function shown({ body }: Message): string {
  return JSON.stringify(body).slice(-14, -2)
}
