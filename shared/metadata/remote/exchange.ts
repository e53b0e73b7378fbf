import type { HttpAnswer } from '../../http/exchange.ts'

export type RemoteRequest = {
  readonly method: 'GET' | 'POST'
  /** The whole URL. */
  readonly url: string
  /** The only name of the request in messages and hooks. */
  readonly subject: string
  /** May hold secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** JSON text in UTF-8. */
  readonly body?: Uint8Array
}

/**
 * One exchange, whatever its status. Throws TransientError where no whole answer came, the reason of the signal where
 * that ended it, ContractError for an answer that is too large, ConfigError for a request that cannot be sent.
 */
export type Send = (request: RemoteRequest, signal: AbortSignal) => Promise<HttpAnswer>

export type { HttpAnswer as RemoteAnswer }
