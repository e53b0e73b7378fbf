import { createRedact } from './redact.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Stable names for stable things: run_id, source_ingest_id, stream, epoch. */
export type LogFields = Readonly<Record<string, unknown>>

/** Takes one finished line. In a function it goes to `context.log`, in a job to pino. */
export type LogSink = (level: LogLevel, line: LogFields) => void

/** Structured lines: one stable event name each, and fields. */
export type Log = {
  readonly debug: (event: string, fields?: LogFields) => void
  readonly info: (event: string, fields?: LogFields) => void
  readonly warn: (event: string, fields?: LogFields) => void
  readonly error: (event: string, fields?: LogFields) => void
  /** The same log with these fields on every line. */
  readonly with: (fields: LogFields) => Log
}

export type LogOptions = {
  readonly sink: LogSink
  readonly level: LogLevel
  /** Values that must never appear, wherever they stand. */
  readonly secrets: readonly string[]
}

export function createLog({ sink, level, secrets }: LogOptions): Log {
  const redact = createRedact(secrets)
  const threshold = LOG_LEVELS.indexOf(level)
  const bind = (fixed: LogFields): Log => {
    const write = (at: LogLevel) => (event: string, fields?: LogFields) => {
      if (LOG_LEVELS.indexOf(at) < threshold) return
      sink(at, redact({ event, ...fixed, ...fields }) as LogFields)
    }
    return {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      with: (fields) => bind({ ...fixed, ...fields }),
    }
  }
  return bind({})
}
