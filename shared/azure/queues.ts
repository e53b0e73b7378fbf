import type { QueueClient, QueueServiceClient } from '@azure/storage-queue'
import { ConfigError, TransientError, toError } from '../errors.ts'
import type { IoHook } from '../io-hook.ts'
import { azureCredential, SDK_RETRY_OPTIONS, type StorageAccount } from './storage-account.ts'

/** A message as it was received. It is ours until `nextVisibleAt`, and only with this `popReceipt`. */
export type QueueMessage = {
  readonly id: string
  readonly popReceipt: string
  /** As it is stored. */
  readonly wire: string
  /** What `wire` says in base64 and UTF-8; undefined where it is not base64, so not of our senders. */
  readonly body: string | undefined
  /** How often it has been received, this time included. */
  readonly dequeueCount: number
  readonly insertedAt: Date
  readonly expiresAt: Date
  readonly nextVisibleAt: Date
}

export type SendOptions = { readonly delaySeconds?: number }

/** The queues of one storage account. Every operation throws `TransientError` where the storage did not answer. */
export type Queues = {
  /** Bodies are UTF-8 text, base64 on the wire, as the Functions host expects. */
  readonly send: (queue: string, body: string, options?: SendOptions) => Promise<void>
  /** Sends `wire` unchanged, so that what was not base64 stays as it came. Creates the queue if there is none. */
  readonly forward: (queue: string, message: QueueMessage) => Promise<void>
  /** At most `countMax` (1 to 32) messages, hidden from others for a while. A queue that is absent has none. */
  readonly receive: (queue: string, options: ReceiveOptions) => Promise<readonly QueueMessage[]>
  /** The message with its new receipt; undefined where it is no longer ours. */
  readonly renew: (queue: string, message: QueueMessage, seconds: number) => Promise<QueueMessage | undefined>
  /** Makes it visible again after a delay. False where it was no longer ours. */
  readonly release: (queue: string, message: QueueMessage, delaySeconds: number) => Promise<boolean>
  /** False where it was no longer ours. */
  readonly remove: (queue: string, message: QueueMessage) => Promise<boolean>
  /** Creates the queue if it is absent. Only the local stack does: in Azure, Bicep made them. */
  readonly ensure: (queue: string) => Promise<void>
  /** Messages in the queue, hidden ones included, roughly; undefined where there is no such queue. */
  readonly depth: (queue: string) => Promise<number | undefined>
}

export type ReceiveOptions = { readonly countMax: number; readonly visibilitySeconds: number }

export type QueuesOptions = { readonly account: StorageAccount; readonly hook: IoHook }

export function createQueues({ account, hook }: QueuesOptions): Queues {
  let opening: Promise<QueueServiceClient> | undefined
  const operation = <T>(action: string, queue: string, run: (client: QueueClient) => Promise<T>): Promise<T> =>
    hook({ client: 'queue', action, subject: queue }, async () => {
      opening ??= connect(account)
      try {
        return await run((await opening).getQueueClient(queue))
      } catch (error) {
        throw translate(toError(error), `${action} of queue ${queue}`)
      }
    })

  return {
    send: (queue, body, options) =>
      operation('send', queue, async (client) => {
        const wire = Buffer.from(body, 'utf8').toString('base64')
        await client.sendMessage(wire, { visibilityTimeout: options?.delaySeconds ?? 0 })
      }),
    forward: (queue, message) =>
      operation('forward', queue, async (client) => {
        await client.createIfNotExists()
        await client.sendMessage(message.wire)
      }),
    receive: (queue, options) => operation('receive', queue, (client) => receive(client, options)),
    renew: (queue, message, seconds) =>
      operation('renew', queue, (client) =>
        unlessLost(undefined, async () => {
          const answer = await client.updateMessage(message.id, message.popReceipt, undefined, seconds)
          return {
            ...message,
            popReceipt: answer.popReceipt ?? message.popReceipt,
            nextVisibleAt: answer.nextVisibleOn ?? message.nextVisibleAt,
          }
        }),
      ),
    release: (queue, message, delaySeconds) =>
      operation('release', queue, (client) =>
        unlessLost(false, async () => {
          await client.updateMessage(message.id, message.popReceipt, undefined, delaySeconds)
          return true
        }),
      ),
    remove: (queue, message) =>
      operation('remove', queue, (client) =>
        unlessLost(false, async () => {
          await client.deleteMessage(message.id, message.popReceipt)
          return true
        }),
      ),
    ensure: (queue) =>
      operation('ensure', queue, async (client) => {
        await client.createIfNotExists()
      }),
    depth: (queue) =>
      operation('depth', queue, async (client) => {
        try {
          return (await client.getProperties()).approximateMessagesCount ?? 0
        } catch (error) {
          if (codeOf(error) === 'QueueNotFound' || statusOf(error) === 404) return undefined
          throw error
        }
      }),
  }
}

async function connect(account: StorageAccount): Promise<QueueServiceClient> {
  // Loaded here: 0.2 s of import that a process without queues does not pay.
  const { QueueServiceClient } = await import('@azure/storage-queue')
  const options = { retryOptions: SDK_RETRY_OPTIONS }
  if (account.kind === 'connection-string') {
    return QueueServiceClient.fromConnectionString(account.connectionString, options)
  }
  if (account.queueServiceUri === undefined) {
    throw new ConfigError(['queues: expected a setting that ends in __queueServiceUri, got none'])
  }
  return new QueueServiceClient(account.queueServiceUri, await azureCredential(account.clientId), options)
}

async function receive(client: QueueClient, options: ReceiveOptions): Promise<readonly QueueMessage[]> {
  try {
    const answer = await client.receiveMessages({
      numberOfMessages: options.countMax,
      visibilityTimeout: options.visibilitySeconds,
    })
    return answer.receivedMessageItems.map((item) => ({
      id: item.messageId,
      popReceipt: item.popReceipt,
      wire: item.messageText,
      body: decodeBase64(item.messageText),
      dequeueCount: item.dequeueCount,
      insertedAt: item.insertedOn,
      expiresAt: item.expiresOn,
      nextVisibleAt: item.nextVisibleOn,
    }))
  } catch (error) {
    if (codeOf(error) === 'QueueNotFound') return []
    throw error
  }
}

// What .NET's decoder accepts: white space anywhere, padding required. Node's own decoder skips what it does not know.
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function decodeBase64(wire: string): string | undefined {
  const text = wire.replaceAll(/[ \t\r\n]/g, '')
  return BASE64.test(text) ? Buffer.from(text, 'base64').toString('utf8') : undefined
}

/** Whoever received the message after us, or removed it, owns it: not an error of ours. */
async function unlessLost<T, Lost>(lost: Lost, run: () => Promise<T>): Promise<T | Lost> {
  try {
    return await run()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'MessageNotFound' || code === 'PopReceiptMismatch' || code === 'QueueNotFound') return lost
    throw error
  }
}

function translate(error: Error, what: string): Error {
  // An error that is not of the service (a setting, a fault in our own code) is nothing that passes.
  if (error.name !== 'RestError') return error
  const status = statusOf(error)
  if (status === undefined || status >= 500 || status === 408 || status === 429) {
    return new TransientError(`${what}: storage did not answer (${error.message.split('\n')[0]})`, { cause: error })
  }
  return new Error(`${what}: expected the storage to accept it, got ${status} ${codeOf(error) ?? ''}`.trimEnd(), {
    cause: error,
  })
}

function statusOf(error: unknown): number | undefined {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' ? statusCode : undefined
}

function codeOf(error: unknown): string | undefined {
  const { code, details } = error as { code?: unknown; details?: { errorCode?: unknown } }
  if (typeof code === 'string') return code
  return typeof details?.errorCode === 'string' ? details.errorCode : undefined
}
