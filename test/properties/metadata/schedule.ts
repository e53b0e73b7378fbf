import fc from 'fast-check'
import type { Fault } from '../protocol/process.ts'
import { replayRejects } from './dispatch.ts'
import { CONTENTS, FACTS, type Fact, factOf, PRODUCED, type Said, TENANTS } from './facts.ts'
import type { Part } from './parts.ts'
import { PAST_MAX, type Role, Simulation } from './simulation.ts'

/** What happens next: an action, which of those it may happen to, and how. Small numbers, so that it shrinks. */
export type Choice = readonly [action: number, which: number, how: number]

export type Schedule = { readonly past: number; readonly choices: readonly Choice[] }

type Action = (simulation: Simulation, which: number, how: number) => void

const VARIANTS = 6
const HOW_MAX = 2 * VARIANTS * 4 - 1
const STEPS = [1, 2, 3, 4, 5, 6, 9, 20]
const REVISION_OF = [0, 0, 1, 2]

function pick<T>(candidates: readonly T[], which: number): T | undefined {
  return candidates[which % candidates.length]
}

function run(simulation: Simulation, which: number, how: number): void {
  const worker = pick(simulation.workers, which)
  if (worker === undefined) return
  for (let left = STEPS[how % STEPS.length] ?? 1; left > 0 && !worker.isDone && !worker.waits; left--)
    simulation.step(worker)
}

/** One fact, or a few that follow from it: others in either order, of both tenants, repeats, other content, corrections. */
function factsOf(which: number, how: number): readonly Fact[] {
  const [tenant, variant, revision] = [how % TENANTS.length, (how >> 1) % VARIANTS, Math.floor(how / 2 / VARIANTS)]
  const said: Said = {
    tenant,
    fact: which % FACTS,
    revision: REVISION_OF[revision] ?? 0,
    content: Math.floor(which / FACTS) % CONTENTS,
    produced: (which + how) % PRODUCED,
  }
  const next = { ...said, fact: (said.fact + 1) % FACTS }
  const theirs = { ...said, tenant: (tenant + 1) % TENANTS.length }
  const variants: readonly (readonly Said[])[] = [
    [said],
    [said, next],
    [next, said],
    [said, theirs],
    [said, { ...said, produced: (said.produced + 1) % PRODUCED }, { ...said, content: 1 - said.content }],
    [{ ...said, revision: 1 }, { ...said, revision: 0 }, next],
  ]
  return (variants[variant] ?? [said]).map(factOf)
}

function publish(simulation: Simulation, which: number, how: number): void {
  if (!simulation.hasRoom) return
  const worker = simulation.publish(factsOf(which, how))
  simulation.step(worker)
}

function store(simulation: Simulation, which: number, how: number): void {
  if (!simulation.hasRoom) return
  const worker = simulation.store(factsOf(which, how))
  if (how % 3 === 0) simulation.finish(worker)
  else simulation.step(worker)
}

const ROLES: readonly Role[] = [
  'dispatch',
  'log',
  'table',
  'rollup',
  'compact',
  'follow',
  'read history',
  'dispatch elsewhere',
  'dispatch',
  'rollup',
  'table',
  'compact',
]

function start(simulation: Simulation, which: number, how: number): void {
  const role = pick(ROLES, which)
  if (role === undefined || !simulation.hasRoom) return
  const worker = simulation.startRole(role)
  if (how % 3 === 0) simulation.finish(worker)
  else simulation.step(worker)
}

const stepWith = (fault: Fault): Action => {
  return (simulation, which) => {
    const worker = pick(simulation.workers, which)
    if (worker !== undefined) simulation.step(worker, fault)
  }
}

function kill(simulation: Simulation, which: number, how: number): void {
  const worker = pick(simulation.workers, which)
  if (worker !== undefined) simulation.kill(worker, how % 2 === 1)
}

function sweep(simulation: Simulation, which: number): void {
  if (which % 2 === 1) simulation.expireLeases()
  simulation.sweep()
}

function outside(simulation: Simulation, which: number): void {
  const events: readonly (() => void)[] = [
    () => simulation.timePasses(),
    () => simulation.midnight(),
    () => simulation.expireLeases(),
    () => simulation.happen('a person replays rejects', () => replayRejects(simulation.world)),
    () => simulation.expireLeases(),
  ]
  pick(events, which)?.()
}

function backUpOrRestore(simulation: Simulation, which: number): void {
  if (which % 2 === 0) simulation.restore()
  else simulation.backUp()
}

/** In the order in which a shorter story is told; how often each comes is how often it stands here. */
const ACTIONS: readonly Action[] = [
  ...Array<Action>(12).fill(run),
  ...Array<Action>(7).fill(start),
  ...Array<Action>(3).fill(publish),
  ...Array<Action>(4).fill(store),
  ...Array<Action>(4).fill(outside),
  sweep,
  sweep,
  stepWith('lost'),
  stepWith('fails'),
  kill,
  kill,
  backUpOrRestore,
]

const choices = fc.array(fc.tuple(fc.nat(ACTIONS.length - 1), fc.nat(11), fc.nat(HOW_MAX)), {
  maxLength: 40,
  size: 'max',
})

/** `past`: start from this one only; from any where it is not given. */
export function schedules(past?: number): fc.Arbitrary<Schedule> {
  return fc.record({ past: past === undefined ? fc.nat(PAST_MAX) : fc.constant(past), choices })
}

/** Plays a schedule to its end. Throws the first violation. */
export function play({ past, choices }: Schedule, without: Part | null, trace: string[] | null): Simulation {
  const simulation = new Simulation(without, trace)
  simulation.livePast(past)
  for (const [action, which, how] of choices) ACTIONS[action]?.(simulation, which, how)
  simulation.drain()
  return simulation
}
