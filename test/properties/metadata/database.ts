import { TransientError } from '../../../shared/errors.ts'
import { copyTables, type KeyRow, type LatestRow, type Tables } from './tables.ts'

/** PostgreSQL as far as the platform leans on it: read committed, row locks, xids, snapshots, one sequence. */
export class Database {
  tables: Tables
  readonly open = new Set<Transaction>()
  readonly #locks = new Map<string, Transaction>()
  /** Commits so far: what a snapshot is made of. */
  commits = 0
  /** Today, by the clock of the database. */
  today = 0

  constructor(tables: Tables) {
    this.tables = tables
  }

  begin(): Transaction {
    const tx = new Transaction(this.today)
    this.open.add(tx)
    return tx
  }

  /** Takes the lock and, with the first, an xid; throws Waits while another transaction has it. */
  lock(tx: Transaction, row: string): void {
    tx.xid ??= this.tables.nextXid++
    const holder = this.#locks.get(row)
    if (holder !== undefined && holder !== tx) throw new Waits(holder)
    this.#locks.set(row, tx)
    tx.locks.add(row)
  }

  isLocked(row: string): boolean {
    return this.#locks.has(row)
  }

  /** `pg_snapshot_xmin`: every transaction below it is over. */
  xmin(): number {
    let xmin = this.tables.nextXid
    for (const { xid } of this.open) if (xid !== null && xid < xmin) xmin = xid
    return xmin
  }

  commit(tx: Transaction): void {
    this.assertOpen(tx)
    this.commits++
    for (const write of tx.writes) write(this.tables)
    this.#end(tx, 'committed')
  }

  /** No effect on one that is over. */
  abort(tx: Transaction): void {
    if (tx.state === 'open') this.#end(tx, 'aborted')
  }

  /** What sleeps in a transaction is ended after a minute: it lives through one midnight at most. */
  endIdle(): void {
    for (const tx of this.open) if (tx.day < this.today - 1) this.abort(tx)
  }

  endAll(): void {
    for (const tx of this.open) this.abort(tx)
  }

  assertOpen(tx: Transaction): void {
    if (tx.state !== 'open') throw new TransientError(`transaction: expected it open, got ${tx.state}`)
  }

  /** A backup of this moment takes the place of all; who is connected is no longer. */
  restore(backup: Tables): void {
    this.endAll()
    this.commits++
    this.tables = copyTables(backup)
    this.tables.generation = ++this.#generations
  }

  #generations = 0

  #end(tx: Transaction, state: 'committed' | 'aborted'): void {
    tx.state = state
    this.open.delete(tx)
    for (const row of tx.locks) this.#locks.delete(row)
  }
}

export class Transaction {
  xid: number | null = null
  /** `now()` is when it began. */
  readonly day: number
  state: 'open' | 'committed' | 'aborted' = 'open'
  readonly locks = new Set<string>()
  /** Applied by the commit: nobody sees them before. */
  readonly writes: ((tables: Tables) => void)[] = []
  /** Its own, which its later statements see. */
  readonly keys = new Map<string, KeyRow>()
  readonly latest = new Map<string, LatestRow>()

  constructor(day: number) {
    this.day = day
  }
}

/** The statement goes on where it is when the holder is over. */
export class Waits extends Error {
  override readonly name = 'Waits'
  readonly holder: Transaction

  constructor(holder: Transaction) {
    super('waits for a lock')
    this.holder = holder
  }
}
