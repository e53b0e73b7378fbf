export type HttpRequest = {
  /** The whole URL, secrets included. It reaches the provider and nothing else. */
  readonly url: string
  /** The URL without secrets: the only name of the request in messages, hooks and logs. */
  readonly subject: string
  /** May hold secrets. */
  readonly headers: Readonly<Record<string, string>>
}

/** Any status that came. `body` is what came, after every coding; `headers` have lower-case names, repeated ones are joined. */
export type HttpAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export type HttpOptions = {
  /** Ends the request, and the waiting between two tries, with CancelledError. */
  readonly signal: AbortSignal
  /** A larger body, before its coding is undone or after, is a ContractError. */
  readonly bodyBytesMax: number
}

/**
 * Gives the answer whatever its status. Throws TransientError where no whole answer came, CancelledError where the
 * caller's signal said so, ContractError for a body over the limit, ConfigError for a request that cannot be sent.
 */
export type HttpClient = (request: HttpRequest, options: HttpOptions) => Promise<HttpAnswer>
