import { ACTIVE_STATES } from '../../../shared/ingest/state/state-machine.ts'
import { curateWork } from './curate-work.ts'
import { deliverFile, expireLease, freeGuard, replay, runningIngests, timePasses, withdraw } from './events.ts'
import { landWork } from './land-work.ts'
import { assertSettled, assertState } from './oracle.ts'
import type { Part } from './parts.ts'
import { planTick } from './plan.ts'
import { type Fault, type Process, Worker } from './process.ts'
import { sweep } from './sweep.ts'
import { Violation } from './violation.ts'
import { type Message, newWorld, note, type World } from './world.ts'

const WORKERS_MAX = 5
const DRAIN_ROUNDS_MAX = 40
export const PAST_MAX = 5

/** A world and the workers in it. After every step the oracle looks. */
export class Simulation {
  readonly world: World
  readonly workers: Worker[] = []
  #named = 0

  constructor(without: Part | null, trace: string[] | null) {
    this.world = newWorld(without, trace)
  }

  get hasRoom(): boolean {
    return this.workers.length < WORKERS_MAX
  }

  start(role: string, process: Process): Worker {
    const worker = new Worker(this.world, `${role} ${++this.#named}`, process)
    this.workers.push(worker)
    return worker
  }

  /** A worker takes a message; a queue may hand it out again. */
  deliver(index: number, transformVersion: number, again: boolean): Worker | null {
    const message = this.world.queue[index]
    if (message === undefined) return null
    if (!again) this.world.queue.splice(index, 1)
    return this.start(`${message.queue} t${transformVersion}`, work(this.world, message, transformVersion))
  }

  step(worker: Worker, fault: Fault = 'none'): void {
    const changed = worker.step(fault)
    if (worker.isDone) this.workers.splice(this.workers.indexOf(worker), 1)
    if (changed) assertState(this.world)
  }

  kill(worker: Worker, afterEffect: boolean): void {
    worker.kill(afterEffect)
    this.workers.splice(this.workers.indexOf(worker), 1)
    assertState(this.world)
  }

  finish(worker: Worker): void {
    while (!worker.isDone) this.step(worker)
  }

  /** Something outside the workers happens. */
  happen(name: string, event: () => void): void {
    note(this.world, `--- ${name}`)
    event()
    assertState(this.world)
  }

  /**
   * Faults stop: the guard is freed, leases of whoever has not finished run out, and sweeps bring everything to its
   * end. Then those who slept through it all wake up, and may change nothing any more.
   */
  drain(): void {
    const { world } = this
    note(world, '--- faults stop')
    world.guardAlarmed = false
    world.provider.mood = 'well'
    const asleep = [...this.workers]
    this.#freeGuard()
    this.#settle()
    note(world, '--- who slept wakes up')
    for (const worker of asleep) this.finish(worker)
    this.#settle()
  }

  #settle(): void {
    const { world } = this
    for (let round = 0; this.#hasWork(); round++) {
      if (round === DRAIN_ROUNDS_MAX) throw new Violation('progress', `not drained after ${round} rounds`)
      timePasses(world)
      for (const ingest of runningIngests(world)) expireLease(ingest)
      this.finish(this.start('plan', planTick(world, 'live')))
      this.finish(this.start('sweep', sweep(world)))
      this.#deliverAll()
    }
    assertSettled(world)
  }

  /** What waited for the guard goes on with the next sweep, not only when its hint is old. */
  #freeGuard(): void {
    const { world } = this
    const waited = world.postgres.held
    this.happen('the guard frees the stream', () => freeGuard(world))
    if (!waited) return
    this.finish(this.start('sweep', sweep(world)))
    for (const { id, state, waiting } of world.postgres.ingests) {
      const isSent = world.queue.some((message) => message.ingest === id && message.queue === 'curate')
      if (state === 'landed' && !waiting && !isSent) {
        throw new Violation('progress', `ingest ${id} waited for the guard and still waits after it freed the stream`)
      }
    }
  }

  #hasWork(): boolean {
    const { ingests, fetched } = this.world.postgres
    if (ingests.some(({ state }) => ACTIVE_STATES.includes(state))) return true
    for (let granule = 0; granule < this.world.end; granule++) {
      const isHole = ingests.some(
        ({ state, lo, hi }) =>
          (state === 'failed' || state === 'quarantined') && (lo ?? 9) <= granule && granule < (hi ?? 0),
      )
      if (!fetched[granule] && !isHole) return true
    }
    return false
  }

  #deliverAll(): void {
    while (this.world.queue.length > 0) {
      const worker = this.deliver(0, this.world.newestTransformVersion, false)
      if (worker !== null) this.finish(worker)
    }
  }

  /** A person takes up whatever failed. */
  replayAll(): void {
    for (const ingest of this.world.postgres.ingests) replay(this.world, ingest)
  }

  /**
   * A past without faults, so that short schedules reach deep states: nothing; windows; files too, the second change
   * time far ahead; then also files and a lookback that have landed and wait to be curated; or, of these, a copy of a
   * file that is withdrawn.
   */
  livePast(chapters: number): void {
    const { world } = this
    if (chapters > 1) this.happen('a file arrives', () => void deliverFile(world, 0, 1))
    if (chapters > 2) this.happen('a file arrives', () => void deliverFile(world, 1, 13))
    if (chapters > 0) this.drain()
    if (chapters <= 3) return
    const isCopied = chapters > 4
    this.happen(isCopied ? 'a copy arrives' : 'a file arrives', () => void deliverFile(world, 2, isCopied ? 9 : 13))
    this.happen('a version arrives', () => void deliverFile(world, 0, 6))
    if (isCopied) this.happen('what was copied is withdrawn', () => withdraw(world, 1))
    this.finish(this.start('lookback', planTick(world, 'lookback')))
    this.finish(this.start('sweep', sweep(world)))
    for (let index = world.queue.length - 1; index >= 0; index--) {
      const worker = world.queue[index]?.queue === 'land' ? this.deliver(index, 1, false) : null
      if (worker !== null) this.finish(worker)
    }
  }
}

function work(world: World, { queue, ingest }: Message, transformVersion: number): Process {
  return queue === 'land' ? landWork(world, ingest, transformVersion) : curateWork(world, ingest, transformVersion)
}
