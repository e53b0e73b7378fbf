import { resultsOf, waves } from '../../../shared/metadata/model/waves.ts'
import { io, type Process } from '../protocol/process.ts'
import type { Transaction } from './database.ts'
import type { Fact } from './facts.ts'
import { assertAnswers } from './oracle.ts'
import { storeBatch, toldOf } from './store.ts'
import type { OutboxRow, Tables, Told } from './tables.ts'
import { type Session, statement, transaction } from './worker.ts'
import type { World } from './world.ts'

const BATCH_MAX = 3
const BATCHES_MAX = 4

/** A publish: facts are handed over if and only if it commits, and whoever does not know asks again. */
export function* publish(world: World, facts: readonly Fact[]): Process {
  const { database } = world
  yield* io(`publish ${facts.map(({ fact, revision }) => `${fact} r${revision}`).join(', ')}`, () => {
    for (const fact of facts) addToOutbox(database.tables, fact, database.today)
    database.tables.published.push(...facts)
  })
}

function addToOutbox(tables: Tables, fact: Fact, createdDay: number): void {
  const outboxId = tables.nextSeq++
  tables.outbox.set(outboxId, { outboxId, fact, createdDay })
}

/** Claim, store, tell apart, reject, delete: one transaction per batch, and of each batch the first wave. */
export function* dispatchHere(world: World, session: Session): Process {
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    let rows: readonly OutboxRow[] = []
    if (world.without === 'stored before deleted') {
      rows = yield* transaction(world, session, function* (tx) {
        const claimed = yield* claim(world, tx)
        remove(tx, claimed)
        return claimed
      })
      if (rows.length === 0) return
    }
    const isDone = yield* transaction(
      world,
      session,
      function* (tx) {
        if (rows.length === 0) rows = yield* claim(world, tx)
        if (rows.length === 0) return []
        return yield* moveRows(world, tx, rows)
      },
      (told) => assertAnswers(world, told),
    )
    if (isDone.length === 0) return
  }
}

/** Locked rows are another's; what is claimed is locked until the end of the transaction. */
function claim(world: World, tx: Transaction): Process<readonly OutboxRow[]> {
  const { database } = world
  return statement(world, tx, 'claim', () => {
    const rows = due(database.tables).filter(({ outboxId }) => !database.isLocked(`outbox ${outboxId}`))
    const claimed = rows.slice(0, BATCH_MAX)
    for (const { outboxId } of claimed) database.lock(tx, `outbox ${outboxId}`)
    return claimed
  })
}

function due({ outbox, waiting }: Tables): OutboxRow[] {
  return [...outbox.values()].filter(({ outboxId }) => !waiting.has(outboxId))
}

function* moveRows(world: World, tx: Transaction, rows: readonly OutboxRow[]): Process<readonly Told[]> {
  const facts = rows.map(({ fact }) => fact)
  const [wave = []] = waves(facts.map(({ checked }) => checked))
  const first = wave.flatMap(({ places: [place = 0] }) => facts[place] ?? [])
  const results = yield* storeBatch(world, tx, first)
  const settled = wave.flatMap((folded, index) => {
    const result = results[index]
    return result === undefined ? [] : resultsOf(folded, result)
  })
  const concerned = settled.flatMap(([place]) => rows[place] ?? [])
  const told = toldOf(facts, settled)
  yield* statement(world, tx, 'conclude', () => conclude(world, tx, concerned, told))
  return told
}

/** What waits for the revision before it stays, until it is old; what is refused becomes a reject; the rest goes. */
function conclude(world: World, tx: Transaction, rows: readonly OutboxRow[], told: readonly Told[]): void {
  const { database, without } = world
  for (const [index, row] of rows.entries()) {
    const result = told[index]?.result
    if (result?.outcome === 'refused') {
      const { code, retriable } = result.problem
      if (retriable && row.createdDay >= database.today) {
        tx.writes.push((tables) => void tables.waiting.add(row.outboxId))
        continue
      }
      if (without !== 'conflicts are kept')
        tx.writes.push((tables) => void tables.rejects.push({ fact: row.fact, code }))
    }
    remove(tx, [row])
  }
}

function remove(tx: Transaction, rows: readonly OutboxRow[]): void {
  tx.writes.push((tables) => {
    for (const { outboxId } of rows) {
      tables.outbox.delete(outboxId)
      tables.waiting.delete(outboxId)
    }
  })
}

/** For who stores where this transaction does not reach: lease, hand over, delete what was told. */
export function* dispatchElsewhere(world: World, session: Session): Process {
  const { database } = world
  const rows = yield* io('lease', () => {
    const leased = due(database.tables).filter(({ outboxId }) => !database.isLocked(`outbox ${outboxId}`))
    const batch = leased.slice(0, BATCH_MAX)
    for (const { outboxId } of batch) {
      if (world.without === 'elsewhere, deleted after stored') database.tables.outbox.delete(outboxId)
      else database.tables.waiting.add(outboxId)
    }
    return batch
  })
  if (rows.length === 0) return
  const facts = rows.map(({ fact }) => fact)
  // The other store's transactions, one per wave; it answers when all are told.
  const told: (readonly [OutboxRow, Told])[] = []
  for (const wave of waves(facts.map(({ checked }) => checked))) {
    const first = wave.flatMap(({ places: [place = 0] }) => facts[place] ?? [])
    const results = yield* transaction(world, session, (tx) => storeBatch(world, tx, first))
    for (const [index, folded] of wave.entries()) {
      const result = results[index]
      if (result === undefined) continue
      for (const [place, shared] of resultsOf(folded, result)) {
        const row = rows[place]
        if (row !== undefined) told.push([row, { fact: row.fact, result: shared }])
      }
    }
  }
  yield* transaction(world, session, (tx) =>
    statement(world, tx, 'conclude', () =>
      conclude(
        world,
        tx,
        told.map(([row]) => row),
        told.map(([, one]) => one),
      ),
    ),
  )
}

/** A person gives open rejects to the outbox again. */
export function replayRejects({ database }: World): void {
  const { tables, today } = database
  for (const { fact } of tables.rejects.splice(0)) addToOutbox(tables, fact, today)
}
