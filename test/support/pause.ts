import type { IoHook, IoOperation } from '../../shared/io-hook.ts'

/** Stops the first operation that matches until it is let go, like a process that was suspended. */
export function createPause(matches: (operation: IoOperation) => boolean) {
  let reach: () => void = () => undefined
  let resume: () => void = () => undefined
  let armed = false
  const reached = new Promise<void>((resolve) => (reach = resolve))
  const resumed = new Promise<void>((resolve) => (resume = resolve))
  const hook: IoHook = async (operation, run) => {
    if (armed && matches(operation)) {
      armed = false
      reach()
      await resumed
    }
    return run()
  }
  return { hook, reached, arm: () => (armed = true), resume: () => resume() }
}
