import type { Fault, Process } from '../protocol/process.ts'
import { compact, readHistory } from './compaction.ts'
import { dispatchElsewhere, dispatchHere, publish } from './dispatch.ts'
import { type Fact, factOf, type Said, TENANTS } from './facts.ts'
import { followFeed, runConsumer } from './feed.ts'
import { assertSettled, assertState } from './oracle.ts'
import type { Part } from './parts.ts'
import { storeMany } from './store.ts'
import { type ConsumerName, copyTables, isPast, type Position, START } from './tables.ts'
import { Violation } from './violation.ts'
import { type Session, Worker } from './worker.ts'
import { newWorld, note, type World } from './world.ts'

const WORKERS_MAX = 5
const SETTLE_ROUNDS_MAX = 25
export const PAST_MAX = 6

export type Role = 'dispatch' | 'dispatch elsewhere' | ConsumerName | 'compact' | 'follow' | 'read history'

/** A world and the workers in it. After every step the oracle looks. */
export class Simulation {
  readonly world: World
  readonly workers: Worker[] = []
  #named = 0

  constructor(without: Part | null, trace: string[] | null) {
    this.world = newWorld(without, trace, TENANTS[0])
  }

  get hasRoom(): boolean {
    return this.workers.length < WORKERS_MAX
  }

  start(role: string, process: (session: Session) => Process): Worker {
    const worker = new Worker(this.world, `${role} ${++this.#named}`, process)
    this.workers.push(worker)
    return worker
  }

  startRole(role: Role): Worker {
    const { world } = this
    return this.start(role, (session) => {
      if (role === 'dispatch') return dispatchHere(world, session)
      if (role === 'dispatch elsewhere') return dispatchElsewhere(world, session)
      if (role === 'compact') return compact(world)
      if (role === 'follow') return followFeed(world)
      return role === 'read history' ? readHistory(world) : runConsumer(world, session, role)
    })
  }

  publish(facts: readonly Fact[]): Worker {
    return this.start('publish', () => publish(this.world, facts))
  }

  store(facts: readonly Fact[]): Worker {
    return this.start('store', (session) => storeMany(this.world, session, facts))
  }

  step(worker: Worker, fault: Fault = 'none'): void {
    const changed = worker.step(fault)
    if (worker.isDone) this.workers.splice(this.workers.indexOf(worker), 1)
    if (worker.waits) this.#assertNoDeadlock(worker)
    if (changed) assertState(this.world)
  }

  kill(worker: Worker, afterEffect: boolean): void {
    worker.kill(afterEffect)
    this.workers.splice(this.workers.indexOf(worker), 1)
    assertState(this.world)
  }

  /** To its end, or to where it waits for another. */
  finish(worker: Worker): void {
    while (!worker.isDone && !worker.waits) this.step(worker)
  }

  happen(name: string, event: () => void): void {
    note(this.world, `--- ${name}`)
    event()
    assertState(this.world)
  }

  /** What the timers of a few minutes bring. */
  sweep(): void {
    const roles: readonly Role[] = ['dispatch', 'log', 'table', 'rollup', 'compact']
    for (const role of roles) this.finish(this.startRole(role))
  }

  midnight(): void {
    const { database } = this.world
    this.happen(`midnight: day ${database.today + 1}`, () => {
      database.today++
      database.endIdle()
    })
  }

  backUp(): void {
    const { database, files } = this.world
    note(this.world, '--- backup')
    this.world.backup = { tables: copyTables(database.tables), files: files.size }
  }

  /**
   * Nobody works then, except who knows nothing of it: consumers, and those who follow the feed. Files of after the
   * backup may hold records that are no more: such a restore is a person's work.
   */
  restore(): void {
    const { backup, database, files } = this.world
    if (backup === null || backup.files !== files.size) return
    note(this.world, '--- restore')
    for (const worker of [...this.workers]) {
      if (!/^(log|table|rollup|follow)/.test(worker.name)) this.kill(worker, false)
    }
    this.happen(`generation ${database.tables.generation + 1}`, () => database.restore(backup.tables))
  }

  expireLeases(): void {
    this.happen('leases run out', () => {
      const { consumers } = this.world.database.tables
      for (const [name, row] of consumers) if (row.lease === 'held') consumers.set(name, { ...row, lease: 'expired' })
    })
  }

  /** Postponed rows are due, and transactions that sleep are ended. */
  timePasses(): void {
    this.happen('time passes', () => {
      this.world.database.endAll()
      this.world.database.tables.waiting.clear()
    })
  }

  /**
   * Faults stop, and everything comes to its end. Then those who slept through it all wake up, and may break nothing any
   * more. At last the days go by, and all is compacted.
   */
  drain(): void {
    const { world } = this
    note(world, '--- faults stop')
    const asleep = [...this.workers]
    this.#settle()
    note(world, '--- who slept wakes up')
    for (const worker of asleep) this.finish(worker)
    if (asleep.length > 0) this.#settle()
    for (let day = 0; day < 3; day++) this.midnight()
    this.#settle()
  }

  #settle(): void {
    const { world } = this
    for (let round = 0, before = ''; before !== this.#progress(); round++) {
      if (round === SETTLE_ROUNDS_MAX) throw new Violation('progress', `not settled after ${round} rounds`)
      before = this.#progress()
      this.timePasses()
      this.expireLeases()
      for (const role of this.#rolesWithWork(round)) this.finish(this.startRole(role))
    }
    this.finish(this.startRole('read history'))
    assertSettled(world)
    const { below } = world.database.tables
    const at = world.subscriber.cursor?.position ?? START
    if ([...world.database.tables.hot.values()].some(({ position }) => isPast(position, at))) {
      throw new Violation('progress', 'whoever follows the feed does not come to its end')
    }
    if (below < world.database.today - 1) throw new Violation('progress', `day ${below} is not compacted`)
  }

  /** The others would look and find nothing. */
  #rolesWithWork(round: number): readonly Role[] {
    const { database, subscriber } = this.world
    const { outbox, consumers, generation, below } = database.tables
    const names = [...consumers.keys()].filter((name) => {
      const row = consumers.get(name)
      return outbox.size > 0 || row?.generation !== generation || this.#unread(row.position) > 0
    })
    const { cursor } = subscriber
    const follows = cursor?.generation !== generation || this.#unread(cursor.position) > 0
    return [
      ...(outbox.size > 0 ? ['dispatch' as const] : []),
      ...names,
      ...(round === 0 || below <= database.today - 2 ? ['compact' as const] : []),
      ...(follows || outbox.size > 0 ? ['follow' as const] : []),
    ]
  }

  #unread(from: Position): number {
    let unread = 0
    for (const { position } of this.world.database.tables.ever.values()) if (isPast(position, from)) unread++
    return unread
  }

  #progress(): string {
    const { database, subscriber } = this.world
    const { outbox, consumers, below, hot, ever, generation } = database.tables
    const behind = [...consumers.values()].map((row) => `${this.#unread(row.position)} ${row.generation}`)
    const { cursor } = subscriber
    // Where it is matters only while it is behind: at the end of the feed it moves with every transaction.
    const isBehind = cursor === null || this.#unread(cursor.position) > 0
    const follows = isBehind ? JSON.stringify(cursor) : cursor.generation
    return [outbox.size, ...behind, follows, below, hot.size, ever.size, generation].join()
  }

  #assertNoDeadlock(worker: Worker): void {
    let next = worker
    for (let depth = 0; depth < WORKERS_MAX * 2; depth++) {
      const holder = next.waitsFor
      const owner = this.workers.find(({ transaction }) => transaction !== null && transaction === holder)
      if (owner === undefined) return
      next = owner
    }
    throw new Violation('progress', `${worker.name}: waits for whoever waits for it`)
  }

  /**
   * A past without faults, so that short schedules reach deep states: nothing; records that all have read; a day that is
   * closed and waits to be compacted; one that is compacted; late corrections of it; a backup, and what came after it; a
   day that is closed and that nobody has read.
   */
  livePast(chapter: number): void {
    if (chapter === 0) return
    const rest = { revision: 0, content: 0, produced: 0 }
    const both = (said: Omit<Said, 'tenant'>) => TENANTS.map((_, tenant) => factOf({ tenant, ...said }))
    const first = [0, 3, 4].flatMap((fact) => both({ ...rest, fact }))
    if (chapter === 6) {
      this.finish(this.store([...first, ...both({ ...rest, fact: 0, revision: 1 })]))
      for (let day = 0; day < 2; day++) this.midnight()
      return
    }
    this.#live(first)
    if (chapter === 1) return
    if (chapter === 5) {
      this.backUp()
      this.#live(both({ ...rest, fact: 1, produced: 1 }))
      return
    }
    this.midnight()
    this.#live(both({ ...rest, fact: 1, produced: 2 }))
    this.midnight()
    if (chapter === 2) return
    this.finish(this.startRole('compact'))
    if (chapter === 3) return
    this.finish(this.publish([3, 4].flatMap((fact) => both({ fact, revision: 1, content: 0, produced: 2 }))))
  }

  #live(facts: readonly Fact[]): void {
    this.finish(this.store(facts))
    for (const role of ['log', 'table', 'rollup', 'follow'] as const) {
      for (let run = 0; run < 2; run++) this.finish(this.startRole(role))
    }
  }
}
