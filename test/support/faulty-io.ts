import { DatabaseUnavailableError, TransientError } from '../../shared/errors.ts'
import type { IoHook, IoOperation } from '../../shared/io-hook.ts'

/**
 * before: the operation does not happen and throws · after: it happens, and its answer is lost ·
 * dead: it happens, and from then on nothing does, as if the process were gone
 */
export const FAULTS = ['before', 'after', 'dead'] as const
export type FaultKind = (typeof FAULTS)[number]

export type FaultyIo = {
  readonly hook: IoHook
  /** Operations seen since `arm`. */
  readonly operations: readonly IoOperation[]
  /** From now on the `at`-th operation, from 0, fails; without a fault operations are only counted. */
  readonly arm: (fault?: { readonly kind: FaultKind; readonly at: number }) => void
}

/** The hook of the fault seam, for one fault in one run. */
export function createFaultyIo(): FaultyIo {
  const operations: IoOperation[] = []
  let armed = false
  let dead = false
  let fault: { readonly kind: FaultKind; readonly at: number } | undefined

  const failure = ({ client, action, subject }: IoOperation) => {
    const message = `injected fault: ${client} ${action} ${subject}`
    return client === 'postgres' ? new DatabaseUnavailableError(message) : new TransientError(message)
  }
  return {
    operations,
    arm(next) {
      armed = true
      fault = next
    },
    async hook(operation, run) {
      if (dead) throw failure(operation)
      if (!armed) return run()
      const mine = operations.push(operation) - 1
      if (fault?.at !== mine) return run()
      if (fault.kind === 'before') throw failure(operation)
      const result = await run()
      if (fault.kind === 'dead') dead = true
      else throw failure(operation)
      return result
    },
  }
}
