/**
 * The fault seam. Every client of `shared/azure`, `shared/postgres` and `shared/http` passes each of its operations
 * through one optional hook. Production sets none; the crash tests count, fail, repeat and kill operations with it.
 */
export type IoOperation = {
  readonly client: 'blob' | 'queue' | 'table' | 'postgres' | 'http'
  /** `put`, `get`, `head`, `list`, `send`, `query`, `request` … */
  readonly action: string
  /** What it acts on: a blob's path, a queue, a statement's name, a URL without secrets. */
  readonly subject: string
}

/** Runs the operation once, or not, or throws after it took effect: the hook decides. */
export type IoHook = <T>(operation: IoOperation, run: () => Promise<T>) => Promise<T>

export const withoutHook: IoHook = (_operation, run) => run()
