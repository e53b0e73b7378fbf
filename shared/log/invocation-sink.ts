import type { LogSink } from './log.ts'

/** The part of a function's context that takes log lines: they are tied to the invocation only through it. */
export type InvocationLog = {
  readonly debug: (line: string) => void
  readonly info: (line: string) => void
  readonly warn: (line: string) => void
  readonly error: (line: string) => void
}

export function invocationSink(context: InvocationLog): LogSink {
  return (level, line) => context[level](JSON.stringify(line))
}
