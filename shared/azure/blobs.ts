import type { BlobServiceClient, ContainerClient } from '@azure/storage-blob'
import { TransientError, toError } from '../errors.ts'
import type { IoHook } from '../io-hook.ts'
import { azureCredential, SDK_RETRY_OPTIONS, type StorageAccount } from './storage-account.ts'

export type StoredBlob = {
  readonly body: Uint8Array
  readonly etag: string
  /** Keys are lower case. */
  readonly metadata: Readonly<Record<string, string>>
}

export type BlobFacts = Omit<StoredBlob, 'body'> & { readonly path: string; readonly bytes: number }

/** What must hold for a write to happen. There is no unconditional write. */
export type PutCondition = { readonly kind: 'absent' } | { readonly kind: 'unchanged'; readonly etag: string }

export type PutResult =
  | { readonly written: true; readonly etag: string }
  /** The condition did not hold: 409 or 412, or 403 where the writer may create but not overwrite. */
  | { readonly written: false; readonly status: number }

/** One container of the lake. */
export type BlobContainer = {
  /** Null where there is no such blob. */
  readonly get: (path: string) => Promise<StoredBlob | null>
  readonly head: (path: string) => Promise<BlobFacts | null>
  /** One atomic Put Blob: readers see the old blob or the new one, never a part. */
  readonly put: (path: string, body: Uint8Array, options: PutOptions) => Promise<PutResult>
  /** Every blob below a prefix, in path order; folders of a hierarchical namespace are left out. */
  readonly list: (prefix: string) => AsyncIterable<BlobFacts>
  /** Creates the container where it is missing. Only the local stack does: in Azure, Bicep made it. */
  readonly ensure: () => Promise<void>
}

export type PutOptions = {
  readonly condition: PutCondition
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

export type BlobsOptions = { readonly account: StorageAccount; readonly container: string; readonly hook: IoHook }

export function openContainer({ account, container, hook }: BlobsOptions): BlobContainer {
  let opening: Promise<ContainerClient> | undefined
  const client = () => {
    opening ??= connect(account).then((service) => service.getContainerClient(container))
    return opening
  }
  const operation = <T>(action: string, path: string, run: (client: ContainerClient) => Promise<T>) =>
    hook({ client: 'blob', action, subject: `${container}/${path}` }, async () => {
      try {
        return await run(await client())
      } catch (error) {
        throw translate(toError(error), `${action} of blob ${container}/${path}`)
      }
    })

  return {
    get: (path) =>
      operation('get', path, async (container) => {
        try {
          const answer = await container.getBlockBlobClient(path).download()
          const body = await readAll(answer.readableStreamBody)
          return { body, etag: answer.etag ?? '', metadata: lowerCaseKeys(answer.metadata) }
        } catch (error) {
          if (statusOf(error) === 404) return null
          throw error
        }
      }),
    head: (path) =>
      operation('head', path, async (container) => {
        try {
          const answer = await container.getBlockBlobClient(path).getProperties()
          const metadata = lowerCaseKeys(answer.metadata)
          return { path, etag: answer.etag ?? '', bytes: answer.contentLength ?? 0, metadata }
        } catch (error) {
          if (statusOf(error) === 404) return null
          throw error
        }
      }),
    put: (path, body, { condition, contentType, metadata }) =>
      operation('put', path, async (container) => {
        try {
          const answer = await container
            .getBlockBlobClient(path)
            .upload(Buffer.from(body.buffer, body.byteOffset, body.byteLength), body.byteLength, {
              conditions: condition.kind === 'absent' ? { ifNoneMatch: '*' } : { ifMatch: condition.etag },
              blobHTTPHeaders: { blobContentType: contentType },
              metadata: { ...metadata },
            })
          return { written: true, etag: answer.etag ?? '' }
        } catch (error) {
          const status = statusOf(error)
          if (status === 409 || status === 412 || status === 403) return { written: false, status }
          throw error
        }
      }),
    async *list(prefix) {
      const container = await client()
      for await (const item of container.listBlobsFlat({ prefix, includeMetadata: true })) {
        const metadata = lowerCaseKeys(item.metadata)
        if (metadata.hdi_isfolder === 'true') continue
        yield { path: item.name, etag: item.properties.etag, bytes: item.properties.contentLength ?? 0, metadata }
      }
    },
    ensure: () =>
      operation('ensure', '', async (container) => {
        await container.createIfNotExists()
      }),
  }
}

async function connect(account: StorageAccount): Promise<BlobServiceClient> {
  // Loaded here because it costs more than all of our own code.
  const { BlobServiceClient } = await import('@azure/storage-blob')
  const options = { retryOptions: SDK_RETRY_OPTIONS }
  if (account.kind === 'connection-string') {
    return BlobServiceClient.fromConnectionString(account.connectionString, options)
  }
  return new BlobServiceClient(account.blobServiceUri, await azureCredential(account.clientId), options)
}

async function readAll(stream: NodeJS.ReadableStream | undefined): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function lowerCaseKeys(metadata: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([key, value]) => [key.toLowerCase(), value]))
}

function statusOf(error: unknown): number | undefined {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' ? statusCode : undefined
}

function translate(error: Error, what: string): Error {
  const status = statusOf(error)
  // Neither the SDK's error nor one of the network: a mistake of ours, or a setting.
  if (status === undefined && error.name !== 'RestError' && !('code' in error)) return error
  if (status === undefined || status >= 500 || status === 408 || status === 429) {
    return new TransientError(`${what}: storage did not answer (${error.message})`, { cause: error })
  }
  return new Error(`${what}: ${error.message}`, { cause: error })
}
