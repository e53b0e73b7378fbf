import { LeaseLostError, PermanentError, TransientError } from '../../../shared/errors.ts'
import { AnswerLostError, type Fault, io, type Operation, type Process, read } from '../protocol/process.ts'
import { type Transaction, Waits } from './database.ts'
import { Violation } from './violation.ts'
import { note, type World } from './world.ts'

/** The connection of a worker: whoever dies leaves no transaction behind. */
export type Session = { transaction: Transaction | null }

/** Runs `work` in one transaction. `conclude` runs with the commit, if that takes effect. */
export function* transaction<T>(
  world: World,
  session: Session,
  work: (tx: Transaction) => Process<T>,
  conclude: (result: T) => void = () => undefined,
): Process<T> {
  const { database } = world
  const tx = database.begin()
  session.transaction = tx
  try {
    const result = yield* work(tx)
    yield* io('commit', () => {
      database.commit(tx)
      conclude(result)
    })
    return result
  } catch (error) {
    database.abort(tx)
    throw error
  } finally {
    session.transaction = null
  }
}

/** One statement of a transaction; one that is over has none. Nobody sees what it changes before the commit. */
export function statement<T>(world: World, tx: Transaction, name: string, run: () => T): Process<T> {
  return read(name, () => {
    world.database.assertOpen(tx)
    return run()
  })
}

export class Worker {
  readonly name: string
  readonly #world: World
  readonly #session: Session = { transaction: null }
  readonly #process: Process
  #operation: Operation | null
  #waitsFor: Transaction | null = null

  constructor(world: World, name: string, start: (session: Session) => Process) {
    this.name = name
    this.#world = world
    this.#process = start(this.#session)
    this.#operation = this.#advance(() => this.#process.next())
  }

  get isDone(): boolean {
    return this.#operation === null
  }

  /** In the middle of a statement. */
  get waits(): boolean {
    return this.#waitsFor?.state === 'open'
  }

  get transaction(): Transaction | null {
    return this.#session.transaction
  }

  /** Whose end it waits for. */
  get waitsFor(): Transaction | null {
    return this.waits ? this.#waitsFor : null
  }

  /** Whether something outside the worker may have changed. */
  step(fault: Fault = 'none'): boolean {
    const operation = this.#operation
    if (operation === null || this.waits) return false
    note(this.#world, `${this.name}: ${operation.name}${fault === 'none' ? '' : ` (${fault})`}`)
    try {
      if (fault === 'fails') throw new TransientError('fails')
      operation.run()
      if (fault === 'lost') throw new AnswerLostError('lost')
    } catch (error) {
      if (error instanceof Violation) throw error
      if (error instanceof Waits) {
        note(this.#world, `${this.name}: waits for a lock`)
        this.#waitsFor = error.holder
        return false
      }
      this.#operation = this.#advance(() => this.#process.throw(error))
      return operation.changes
    }
    this.#operation = this.#advance(() => this.#process.next())
    return operation.changes
  }

  /** The process is gone, and its connection with it; `afterEffect`: in the moment after its operation took effect. */
  kill(afterEffect: boolean): void {
    const operation = this.#operation
    note(this.#world, `${this.name}: killed${afterEffect ? ` after ${operation?.name}` : ''}`)
    try {
      if (afterEffect && !this.waits) operation?.run()
    } catch (error) {
      if (!isExpected(error)) throw error
    }
    this.#operation = null
    if (this.#session.transaction !== null) this.#world.database.abort(this.#session.transaction)
  }

  #advance(next: () => IteratorResult<Operation, void>): Operation | null {
    try {
      const result = next()
      return result.done ? null : result.value
    } catch (error) {
      if (!isExpected(error)) throw error
      note(this.#world, `${this.name}: left with ${error instanceof Error ? error.message : 'an error'}`)
      return null
    }
  }
}

function isExpected(error: unknown): boolean {
  return [TransientError, LeaseLostError, PermanentError, Waits].some((kind) => error instanceof kind)
}
