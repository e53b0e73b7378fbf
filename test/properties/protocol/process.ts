import {
  ContractError,
  LeaseLostError,
  OutdatedError,
  PermanentError,
  ThrottledError,
  TransientError,
} from '../../../shared/errors.ts'
import { WindowTooLargeError } from '../../../shared/ingest/state/split.ts'
import { Violation } from './violation.ts'
import { note, type World } from './world.ts'

/** One I/O operation: a transaction, a GET, a PUT, a message. It takes effect as a whole or not at all. */
export type Operation = { readonly name: string; readonly changes: boolean; readonly run: () => void }

/** A worker: between two yields nothing outside it changes, at each yield everything may. */
export type Process<T = void> = Generator<Operation, T, void>

/** The operation may have taken effect; nobody told. */
export class AnswerLostError extends TransientError {
  override readonly name = 'AnswerLostError'
}

export function io<T>(name: string, run: () => T): Process<T> {
  return operation(name, true, run)
}

/** An operation that changes nothing anywhere. */
export function read<T>(name: string, run: () => T): Process<T> {
  return operation(name, false, run)
}

function* operation<T>(name: string, changes: boolean, run: () => T): Process<T> {
  const held: { answer?: { readonly value: T } } = {}
  yield {
    name,
    changes,
    run: () => {
      held.answer = { value: run() }
    },
  }
  if (held.answer === undefined) throw new Error(`operation ${name}: expected it to have run`)
  return held.answer.value
}

/** `none`: it works. `fails`: it does not take effect. `lost`: it takes effect and the worker sees an error. */
export type Fault = 'none' | 'fails' | 'lost'

export class Worker {
  readonly name: string
  readonly #world: World
  readonly #process: Process
  #operation: Operation | null

  constructor(world: World, name: string, process: Process) {
    this.name = name
    this.#world = world
    this.#process = process
    this.#operation = this.#advance(() => process.next())
  }

  get isDone(): boolean {
    return this.#operation === null
  }

  /** Whether something outside the worker may have changed. */
  step(fault: Fault = 'none'): boolean {
    const operation = this.#operation
    if (operation === null) return false
    note(this.#world, `${this.name}: ${operation.name}${fault === 'none' ? '' : ` (${fault})`}`)
    try {
      if (fault === 'fails') throw new TransientError('fails')
      operation.run()
      if (fault === 'lost') throw new AnswerLostError('lost')
    } catch (error) {
      if (error instanceof Violation) throw error
      this.#operation = this.#advance(() => this.#process.throw(error))
      return operation.changes
    }
    this.#operation = this.#advance(() => this.#process.next())
    return operation.changes
  }

  /** The process is gone; `afterEffect`: in the moment after its operation reached the other side. */
  kill(afterEffect: boolean): void {
    note(this.#world, `${this.name}: killed${afterEffect ? ` after ${this.#operation?.name}` : ''}`)
    try {
      if (afterEffect) this.#operation?.run()
    } catch (error) {
      if (!isExpected(error)) throw error
    }
    this.#operation = null
  }

  #advance(next: () => IteratorResult<Operation, void>): Operation | null {
    try {
      const result = next()
      return result.done ? null : result.value
    } catch (error) {
      // What a handler lets through ends its invocation: the lease runs out.
      if (!isExpected(error)) throw error
      note(this.#world, `${this.name}: left with ${error instanceof Error ? error.name : 'an error'}`)
      return null
    }
  }
}

const EXPECTED = [
  TransientError,
  LeaseLostError,
  OutdatedError,
  PermanentError,
  ContractError,
  ThrottledError,
  WindowTooLargeError,
]

function isExpected(error: unknown): boolean {
  return EXPECTED.some((kind) => error instanceof kind)
}
