import { AsyncLocalStorage } from 'node:async_hooks'

/** W3C `traceparent`: `00-<trace id>-<span id>-<flags>`. */
const parents = new AsyncLocalStorage<string>()

/** What follows in this invocation belongs to the trace that its host began. */
export function enterTrace(traceParent: string | undefined): void {
  if (traceParent) parents.enterWith(traceParent)
}

export function currentTraceParent(): string | undefined {
  return parents.getStore()
}
