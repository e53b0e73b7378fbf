/** Levels of the Functions library. */
export type HostLogLevel = 'trace' | 'debug' | 'information' | 'warning' | 'error' | 'critical' | 'none'

export type HostLogEntry = {
  readonly level: HostLogLevel
  /** `user`: a handler's `context.log`; `system`: the library; `host`: this host. */
  readonly category: 'user' | 'system' | 'host'
  readonly message: string
  readonly functionName?: string
  readonly invocationId?: string
}

export type HostLog = (entry: HostLogEntry) => void
