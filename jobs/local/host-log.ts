import type { LogFields, LogLevel, LogSink } from '../../shared/log/log.ts'
import type { HostLog, HostLogLevel } from './functions-host/host-log.ts'

const LEVELS: Readonly<Record<HostLogLevel, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  information: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'error',
  none: 'debug',
}

/** The host's lines beside our own: what a handler logged is a finished line already and gets its invocation's id. */
export function hostLogTo(sink: LogSink): HostLog {
  return ({ level, category, message, functionName, invocationId }) => {
    const line = parseLine(message)
    const fields = {
      ...(line ?? { event: `host_${category}`, message }),
      function: functionName,
      invocation_id: invocationId,
    }
    sink(LEVELS[level], fields)
  }
}

function parseLine(message: string): LogFields | undefined {
  if (!message.startsWith('{"event":')) return undefined
  try {
    return JSON.parse(message) as LogFields
  } catch {
    return undefined
  }
}
