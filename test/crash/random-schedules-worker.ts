import { toError } from '../../shared/errors.ts'
import type { Platform } from '../../shared/platform.ts'
import { createGate, type Gate } from './random-schedules-gate.ts'
import type { Lake } from './random-schedules-lake.ts'

/** One process that works on the lake: it does one thing at a time, and stands at its gate before each operation. */
export type Worker = {
  readonly name: string
  readonly busy: () => boolean
  readonly gate: () => Gate
  /** Begins it; `onThrown` where it throws, as it does when Postgres does not answer. */
  readonly start: (what: string, work: (platform: Platform) => Promise<unknown>, onThrown?: () => void) => Promise<void>
  /** Lets it do one operation; says what, or that it ended. */
  readonly step: () => Promise<string>
  /** Nothing holds it up any more: resolves when it has nothing to do. */
  readonly free: () => Promise<void>
  readonly close: () => Promise<void>
}

export function createWorker(lake: Lake, name: string, say: (line: string) => void): Worker {
  let gate = createGate()
  let platform = lake.openWorker(name, gate.hook)
  let action: Promise<void> | null = null

  const restart = async () => {
    await platform.close()
    gate = createGate()
    platform = lake.openWorker(name, gate.hook)
  }
  const run = async (what: string, work: (platform: Platform) => Promise<unknown>, onThrown?: () => void) => {
    let outcome: unknown
    try {
      outcome = await work(platform)
    } catch (error) {
      outcome = toError(error).message
      onThrown?.()
    }
    if (gate.isDead()) outcome = 'killed'
    say(`${name} ends ${what}: ${typeof outcome === 'string' ? outcome : 'done'}`)
    if (gate.isDead()) await restart()
    action = null
  }

  return {
    name,
    busy: () => action !== null,
    gate: () => gate,
    async start(what, work, onThrown) {
      say(`${name} begins ${what}`)
      action = run(what, work, onThrown)
      await gate.arrived(action)
    },
    async step() {
      const operation = await gate.step(action ?? Promise.resolve())
      return operation === null ? 'nothing' : `${operation.client} ${operation.action} ${operation.subject}`
    },
    async free() {
      gate.free()
      await action
    },
    async close() {
      gate.free()
      await action
      await platform.close()
    },
  }
}
