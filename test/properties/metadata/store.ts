import { problem } from '../../../shared/metadata/model/problem.ts'
import type { StoreResult } from '../../../shared/metadata/model/repository.ts'
import { resultsOf, waves } from '../../../shared/metadata/model/waves.ts'
import type { Process } from '../protocol/process.ts'
import type { Transaction } from './database.ts'
import { type Fact, nameOf } from './facts.ts'
import { assertAnswers } from './oracle.ts'
import {
  isLater,
  type KeyRow,
  type LatestRow,
  type Position,
  type RecordRow,
  type Reject,
  type Told,
} from './tables.ts'
import { Violation } from './violation.ts'
import { type Session, statement, transaction } from './worker.ts'
import { keyName, newRecordId, type World } from './world.ts'

/** What the store does with records: the storing statement, the one that tells apart, and who calls them. */

/** A caller of the repository: wave after wave, each in a transaction. */
export function* storeMany(world: World, session: Session, facts: readonly Fact[]): Process {
  const split = waves(facts.map(({ checked }) => checked)).map((wave) => ({
    wave,
    first: wave.flatMap(({ places: [place = 0] }) => facts[place] ?? []),
  }))
  const batches = world.without === 'one storing statement per transaction' ? [split] : split.map((one) => [one])
  for (const batch of batches) {
    yield* transaction(
      world,
      session,
      function* (tx) {
        const told: Told[] = []
        for (const { wave, first } of batch) {
          const results = yield* storeBatch(world, tx, first)
          for (const [index, folded] of wave.entries()) {
            const result = results[index]
            if (result !== undefined) told.push(...toldOf(facts, resultsOf(folded, result)))
          }
        }
        keepConflicts(tx, told)
        return told
      },
      (told) => assertAnswers(world, told),
    )
  }
}

export function toldOf(facts: readonly Fact[], results: readonly (readonly [number, StoreResult])[]): readonly Told[] {
  return results.flatMap(([place, result]) => {
    const fact = facts[place]
    return fact === undefined ? [] : [{ fact, result }]
  })
}

function keepConflicts(tx: Transaction, told: readonly Told[]): void {
  const rejects = told.flatMap(({ fact, result }): Reject[] =>
    result.outcome === 'refused' && !result.problem.retriable ? [{ fact, code: result.problem.code }] : [],
  )
  tx.writes.push((tables) => void tables.rejects.push(...rejects))
}

/** In the transaction of the caller, as the product's storeBatch. */
export function* storeBatch(world: World, tx: Transaction, facts: readonly Fact[]): Process<readonly StoreResult[]> {
  const storing = new StoringStatement(world, tx, facts)
  const names = facts.map((fact) => `${nameOf(fact)} r${fact.revision}`).join(', ')
  let isDone = false
  while (!isDone) isDone = yield* statement(world, tx, `store ${names}`, () => storing.takeRow())
  return yield* statement(world, tx, 'tell apart', () => storing.tellApart())
}

type Input = {
  readonly recordId: string
  readonly fact: Fact
  readonly due: boolean
  readonly ordered: number
  readonly effective: number
}

/** Goes on where it waited: what it read when it began stays as it was. */
class StoringStatement {
  readonly #world: World
  readonly #tx: Transaction
  readonly #ids: readonly string[]
  readonly #facts: readonly Fact[]
  readonly #stored = new Set<string>()
  #snapshot = 0
  #latestAtStart: ReadonlyMap<string, LatestRow> = new Map()
  #keys: Input[] | null = null
  #series: RecordRow[] | null = null

  constructor(world: World, tx: Transaction, facts: readonly Fact[]) {
    this.#world = world
    this.#tx = tx
    this.#facts = facts
    this.#ids = facts.map(() => newRecordId(world))
  }

  /** One row at a time, as its locks are taken. True: it was the last. */
  takeRow(): boolean {
    this.#keys ??= this.#begin()
    const [key] = this.#keys
    if (key !== undefined) {
      this.#insertKey(key)
      this.#keys.shift()
      if (this.#keys.length > 0) return false
    }
    this.#series ??= this.#insertRecords()
    const [record] = this.#series
    if (record !== undefined) {
      this.#moveLatest(record)
      this.#series.shift()
    }
    return this.#series.length === 0
  }

  #input: Input[] = []

  #begin(): Input[] {
    const { database, without } = this.#world
    const { tables } = database
    this.#snapshot = database.commits
    this.#latestAtStart = without === 'latest is compared under its lock' ? new Map(tables.latest) : new Map()
    this.#input = this.#facts.map((fact, index) => {
      const { revision, produced } = fact
      const before = revision === 0 ? undefined : this.#keyOf(keyName(this.#world, fact, revision - 1))
      const least = without === 'never before what it corrects' ? produced : (before?.ordered ?? produced)
      const ordered = Math.max(produced, least)
      const due = revision === 0 || before !== undefined || without === 'gaps wait'
      return { recordId: this.#ids[index] ?? '', fact, due, ordered, effective: fact.window?.end ?? ordered }
    })
    const due = this.#input.filter((one) => one.due)
    return without === 'one lock order' ? due : due.sort((a, b) => compare(this.#nameOf(a), this.#nameOf(b)))
  }

  #insertKey(input: Input): void {
    const { database } = this.#world
    const name = this.#nameOf(input)
    if (database.tables.keys.has(name) || this.#tx.keys.has(name)) return
    database.lock(this.#tx, `key ${name}`)
    const { recordId, fact, ordered } = input
    this.#stored.add(recordId)
    const row: KeyRow = { recordId, fact, ordered, since: 0 }
    this.#tx.keys.set(name, row)
    this.#tx.writes.push((tables) => tables.keys.set(name, { ...row, since: database.commits }))
  }

  /** The greatest of each series. */
  #insertRecords(): RecordRow[] {
    const { database, without } = this.#world
    const greatest = new Map<string, RecordRow>()
    for (const { recordId, fact, effective, ordered } of this.#input) {
      if (!this.#stored.has(recordId)) continue
      const xid = this.#tx.xid ?? 0
      const position = positionOf(this.#world, xid, database.tables.nextSeq++)
      const day = without === 'a day is of stored_at' ? Math.min(effective, this.#tx.day) : this.#tx.day
      const key = nameOf(fact)
      const name = `${key} r${fact.revision}`
      const before = fact.revision === 0 ? null : `${key} r${fact.revision - 1}`
      const row: RecordRow = { recordId, fact, key, name, before, effective, ordered, xid, position, day }
      this.#tx.writes.push((tables) => {
        tables.hot.set(recordId, row)
        tables.ever.set(recordId, row)
      })
      const known = greatest.get(fact.series)
      if (known === undefined || isLater(row, known)) greatest.set(fact.series, row)
    }
    const series = [...greatest.values()]
    return without === 'one lock order' ? series : series.sort((a, b) => compare(a.fact.series, b.fact.series))
  }

  #moveLatest(record: RecordRow): void {
    const { database, without } = this.#world
    const { series } = record.fact
    database.lock(this.#tx, `latest ${series}`)
    const there = this.#tx.latest.get(series) ?? database.tables.latest.get(series)
    const compared = without === 'latest is compared under its lock' ? this.#latestAtStart.get(series) : there
    const moves = compared === undefined || isLater(record, compared.record)
    if (!moves && without !== 'latest only moves forward') return
    const row = { record, changeNo: (there?.changeNo ?? 0) + 1 }
    this.#tx.latest.set(series, row)
    this.#tx.writes.push((tables) => tables.latest.set(series, row))
  }

  /** Another statement: its snapshot knows whoever this one waited for. */
  tellApart(): readonly StoreResult[] {
    const { database, without } = this.#world
    if (without !== 'told apart afterwards') this.#snapshot = database.commits
    return this.#facts.map((fact, index): StoreResult => {
      const recordId = this.#ids[index] ?? ''
      if (this.#stored.has(recordId)) return { outcome: 'stored', recordId }
      const found = this.#keyOf(keyName(this.#world, fact, fact.revision))
      const replays = found?.fact.checked.content === fact.checked.content || without === 'content says replay'
      if (found !== undefined && replays) return { outcome: 'replayed', recordId: found.recordId }
      if (found !== undefined) {
        const detail = `expected ${found.fact.content}, got ${fact.content}`
        return { outcome: 'refused', problem: problem('idempotency-conflict', detail), recordId: found.recordId }
      }
      if (fact.revision === 0) throw new Violation('answer', `${nameOf(fact)}: neither stored nor known`)
      return { outcome: 'refused', problem: problem('revision-gap', `expected ${fact.revision - 1} before`) }
    })
  }

  #nameOf({ fact }: Input): string {
    return keyName(this.#world, fact, fact.revision)
  }

  #keyOf(name: string): KeyRow | undefined {
    const committed = this.#world.database.tables.keys.get(name)
    return committed !== undefined && committed.since <= this.#snapshot ? committed : this.#tx.keys.get(name)
  }
}

function positionOf({ without }: World, xid: number, seq: number): Position {
  if (without === 'positions have a transaction first') return { xid: seq, seq }
  return { xid, seq: without === 'positions lie within transactions' ? 0 : seq }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
