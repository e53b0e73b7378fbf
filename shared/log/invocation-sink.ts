import type { LogSink } from './log.ts'
import { enterTrace } from './trace-context.ts'

/** The part of a function's context that takes log lines: they are tied to the invocation only through it. */
export type InvocationLog = {
  readonly debug: (line: string) => void
  readonly info: (line: string) => void
  readonly warn: (line: string) => void
  readonly error: (line: string) => void
  readonly traceContext?: { readonly traceParent?: string | undefined } | undefined
}

/** Where the log lines of an invocation go. Its spans belong to it from now on, too. */
export function invocationSink(context: InvocationLog): LogSink {
  enterTrace(context.traceContext?.traceParent)
  return (level, line) => context[level](JSON.stringify(line))
}
