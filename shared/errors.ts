/**
 * Error classes, named by what the caller should do. A message is lower case, names the noun, what was expected and
 * what came: `page 3 of ingest 0192…: expected a json object, got html (text/html, 5120 bytes)`.
 */

/** Try again later: network, 5xx, 408, storage hiccups. Counts as an attempt. */
export class TransientError extends Error {
  override readonly name: string = 'TransientError'
}

/** PostgreSQL did not answer: the only error a queue handler throws, so that its message comes again. */
export class DatabaseUnavailableError extends TransientError {
  override readonly name = 'DatabaseUnavailableError'
}

/** The provider asked us to slow down. Not an attempt. */
export class ThrottledError extends Error {
  override readonly name = 'ThrottledError'
  /** Milliseconds to wait before the next request of the same quota. */
  readonly retryAfterMs: number

  constructor(message: string, options: ErrorOptions & { retryAfterMs: number }) {
    super(message, options)
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The provider refuses our credentials: the stream stops until a person mends them. */
export class AuthError extends Error {
  override readonly name = 'AuthError'
}

/** The answer is not what the source says it is: quarantine, with a sample in the message. */
export class ContractError extends Error {
  override readonly name = 'ContractError'
}

/** No retry can help: stored data is damaged, or a limit that protects readers was crossed. */
export class PermanentError extends Error {
  override readonly name: string = 'PermanentError'
}

/** Raw was written once with other bytes than those we hold. */
export class RawCollisionError extends PermanentError {
  override readonly name = 'RawCollisionError'
}

/** A person must change a setting or a file. Exit code 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** Every problem found, one sentence each, so that they are mended in one go. */
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.problems = problems
  }
}

/** Another worker holds the ingest now. Nothing was changed, nothing may be changed. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/** A newer transform has touched the ingest or the file: leave it to a newer worker, untouched. */
export class OutdatedError extends Error {
  override readonly name = 'OutdatedError'
}

/** We were told to stop. Not an attempt. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError'
}

/** The only converter from `catch`. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown value that is no error: ${String(thrown)}`)
}
