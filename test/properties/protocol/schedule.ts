import fc from 'fast-check'
import {
  cancel,
  correct,
  deliverFile,
  expireLease,
  freeGuard,
  removeFile,
  replay,
  runningIngests,
  timePasses,
  withdraw,
} from './events.ts'
import type { Part } from './parts.ts'
import { planRebuild, planTick } from './plan.ts'
import type { Fault, Worker } from './process.ts'
import { GRANULES } from './records.ts'
import { PAST_MAX, Simulation } from './simulation.ts'
import { sweep } from './sweep.ts'
import type { Mood } from './world.ts'

/** What happens next: an action, which of those it may happen to, and how. Small numbers, so that it shrinks. */
export type Choice = readonly [action: number, which: number, how: number]

export type Schedule = { readonly past: number; readonly choices: readonly Choice[]; readonly replays: boolean }

type Action = (simulation: Simulation, which: number, how: number) => void

const STEPS = [1, 2, 3, 4, 5, 6, 8, 20]
const MOODS: readonly Mood[] = ['throttling', 'broken', 'too large', 'well']

function pick<T>(candidates: readonly T[], which: number): T | undefined {
  return candidates[which % candidates.length]
}

function run(simulation: Simulation, which: number, how: number): void {
  const worker = pick(simulation.workers, which)
  if (worker === undefined) deliver(simulation, which, 0)
  else for (let left = STEPS[how] ?? 1; left > 0 && !worker.isDone; left--) simulation.step(worker)
}

/** `how`, bit by bit: the old code takes it; the message stays and comes again; it is worked off at once. */
function deliver(simulation: Simulation, which: number, how: number): void {
  const { queue, newestTransformVersion } = simulation.world
  if (queue.length === 0) tick(simulation, which, how)
  if (queue.length === 0 || !simulation.hasRoom) return
  const worker = simulation.deliver(which % queue.length, how % 2 === 0 ? newestTransformVersion : 1, (how & 2) > 0)
  if (worker === null) return
  if ((how & 4) > 0) simulation.finish(worker)
  else simulation.step(worker)
}

function tick(simulation: Simulation, which: number, how: number): void {
  const { world, hasRoom } = simulation
  if (!hasRoom) return
  const kinds = [() => sweep(world), () => planTick(world, 'live'), () => planTick(world, 'lookback')]
  const names = ['sweep', 'plan', 'lookback']
  const kind = which % kinds.length
  const worker = simulation.start(names[kind] ?? '', kinds[kind]?.() ?? sweep(world))
  if (how % 2 === 0) simulation.finish(worker)
}

const stepWith = (fault: Fault): Action => {
  return (simulation, which) => {
    const worker = pick(simulation.workers, which)
    if (worker !== undefined) simulation.step(worker, fault)
  }
}

function kill(simulation: Simulation, which: number, how: number): void {
  const worker: Worker | undefined = pick(simulation.workers, which)
  if (worker !== undefined) simulation.kill(worker, how % 2 === 1)
}

function expire(simulation: Simulation, which: number, how: number): void {
  const ingest = pick(runningIngests(simulation.world), which)
  if (ingest === undefined) return
  simulation.happen(`the lease of ${ingest.id} expires`, () => expireLease(ingest))
  if (how % 2 === 0) tick(simulation, 0, 0)
}

function loseMessage({ world }: Simulation, which: number): void {
  if (world.queue.length > 0) world.queue.splice(which % world.queue.length, 1)
}

function act(simulation: Simulation, which: number, how: number): void {
  const { world } = simulation
  const { ingests } = world.postgres
  const person: readonly (() => void)[] = [
    () => simulation.happen(`rebuild of ${how & 1}`, () => void planRebuild(world, how & 1, { byMark: false })),
    () => {
      // Nobody may hold "there was none" over a removal: a create cannot tell that file from this one.
      const isQuiet = simulation.workers.length === 0
      if (isQuiet) simulation.happen(`the file of ${how & 1} is removed`, () => removeFile(world, how & 1))
    },
    () => {
      const ingest = pick(ingests, how)
      if (ingest !== undefined) simulation.happen(`a person cancels ${ingest.id}`, () => cancel(ingest))
    },
    () => {
      const ended = ingests.filter(({ state }) => state === 'failed' || state === 'quarantined')
      const ingest = pick(ended, how)
      if (ingest !== undefined) simulation.happen(`a person replays ${ingest.id}`, () => replay(world, ingest))
    },
  ]
  pick(person, which)?.()
}

function guard(simulation: Simulation, which: number): void {
  const { world } = simulation
  if (which % 2 === 0) {
    simulation.happen('the guard will hold the stream with the next that lands', () => {
      world.guardAlarmed = true
    })
  } else simulation.happen('the guard frees the stream', () => freeGuard(world))
}

function outside(simulation: Simulation, which: number, how: number): void {
  const { world } = simulation
  const events: readonly (() => void)[] = [
    () => simulation.happen('time passes', () => timePasses(world)),
    () => simulation.happen(`granule ${how} says ${which}`, () => correct(world, how, which)),
    () => {
      world.end = Math.min(GRANULES, world.end + 1)
    },
    () => {
      world.provider.mood = MOODS[how % MOODS.length] ?? 'well'
    },
    () =>
      simulation.happen('a new transform version is deployed', () => {
        world.newestTransformVersion = 2
      }),
  ]
  pick(events, which)?.()
}

const file: Action = (simulation, which, how) => {
  simulation.happen(`a version of file ${which % 3} arrives (${which}, ${how})`, () => {
    deliverFile(simulation.world, which % 3, how + 4 * Math.floor(which / 3))
  })
}

const withdrawal: Action = (simulation, which, how) => {
  simulation.happen(`file ${which % 3} is withdrawn`, () => withdraw(simulation.world, which % 3))
  if (how % 2 === 0) tick(simulation, 0, 0)
}

/** In the order in which a shorter story is told; how often each comes is how often it stands here. */
const ACTIONS: readonly Action[] = [
  ...Array<Action>(14).fill(run),
  ...Array<Action>(6).fill(deliver),
  ...Array<Action>(4).fill(tick),
  ...Array<Action>(2).fill(stepWith('lost')),
  stepWith('fails'),
  kill,
  kill,
  expire,
  expire,
  loseMessage,
  outside,
  outside,
  file,
  file,
  withdrawal,
  withdrawal,
  act,
  guard,
]

const choices = fc.array(fc.tuple(fc.nat(ACTIONS.length - 1), fc.nat(11), fc.nat(7)), { maxLength: 60, size: 'max' })

/** `past`: start from this one only; from any where it is not given. */
export function schedules(past?: number): fc.Arbitrary<Schedule> {
  return fc.record({
    past: past === undefined ? fc.nat(PAST_MAX) : fc.constant(past),
    choices,
    replays: fc.boolean(),
  })
}

/** Plays a schedule to its end. Throws the first violation. */
export function play({ past, choices, replays }: Schedule, without: Part | null, trace: string[] | null): Simulation {
  const simulation = new Simulation(without, trace)
  simulation.livePast(past)
  for (const [action, which, how] of choices) ACTIONS[action]?.(simulation, which, how)
  if (replays) simulation.replayAll()
  simulation.drain()
  return simulation
}
