import { randomUUID } from 'node:crypto'
import type { ContainerClient } from '@azure/storage-blob'
import { TransientError, toError } from '../errors.ts'
import type { IoHook } from '../io-hook.ts'
import { connectBlobs, statusOf, translate } from './blob-service.ts'
import type { StorageAccount } from './storage-account.ts'

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

export type AppendResult =
  /** `position`: where the next one goes. */
  | { readonly appended: true; readonly position: number }
  /** The blob does not end at the position that was named. */
  | { readonly appended: false }

/** What one append may hold. https://learn.microsoft.com/rest/api/storageservices/append-block */
export const APPEND_BYTES_MAX = 4 * 1024 * 1024

/** One container of the lake. */
export type BlobContainer = {
  /** Null where there is no such blob. */
  readonly get: (path: string) => Promise<StoredBlob | null>
  readonly head: (path: string) => Promise<BlobFacts | null>
  /** One atomic Put Blob: readers see the old blob or the new one, never a part. */
  readonly put: (path: string, body: Uint8Array, options: PutOptions) => Promise<PutResult>
  /** At most `bytesMax` from `offset` on, none beyond the end. Null where there is no such blob. */
  readonly range: (path: string, offset: number, bytesMax: number) => Promise<Uint8Array | null>
  /**
   * One atomic Append Block, at the end of an append blob that is made where it is missing. With a position it happens
   * only there: an answer that was lost, or another writer, shows as `appended: false`. Without one a repetition
   * appends twice.
   */
  readonly append: (path: string, body: Uint8Array, options: AppendOptions) => Promise<AppendResult>
  /** A blob of any size, with one chunk of it in memory: nobody sees it before its last chunk is there. */
  readonly putChunks: (path: string, chunks: AsyncIterable<Uint8Array>, options: PutChunksOptions) => Promise<PutResult>
  /** Deletes exactly the blob that was read. False where another stands there; true also where there is none. */
  readonly remove: (path: string, etag: string) => Promise<boolean>
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

export type PutChunksOptions = Omit<PutOptions, 'metadata'> & {
  /** Asked once all chunks were given. */
  readonly metadata: () => Readonly<Record<string, string>>
}

export type AppendOptions = { readonly position: number | null; readonly contentType?: string }

export type BlobsOptions = { readonly account: StorageAccount; readonly container: string; readonly hook: IoHook }

export function openContainer({ account, container, hook }: BlobsOptions): BlobContainer {
  let opening: Promise<ContainerClient> | undefined
  const client = () => {
    opening ??= connectBlobs(account).then((service) => service.getContainerClient(container))
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
              conditions: conditionsOf(condition),
              blobHTTPHeaders: { blobContentType: contentType },
              metadata: { ...metadata },
            })
          return { written: true, etag: answer.etag ?? '' }
        } catch (error) {
          return notWritten(error)
        }
      }),
    range: (path, offset, bytesMax) =>
      operation('range', path, async (container) => {
        try {
          const answer = await container.getBlobClient(path).download(offset, bytesMax)
          return await readAll(answer.readableStreamBody)
        } catch (error) {
          if (statusOf(error) === 404) return null
          if (statusOf(error) === 416) return new Uint8Array()
          throw error
        }
      }),
    async append(path, body, { position, contentType = 'application/octet-stream' }) {
      if (body.byteLength > APPEND_BYTES_MAX) {
        throw new Error(`append to ${path}: expected at most ${APPEND_BYTES_MAX} bytes, got ${body.byteLength}`)
      }
      const append = () => operation('append', path, (container) => appendBlock(container, path, body, position))
      const result = await append()
      if (result !== 'absent') return result
      // A position that nothing can be at but the end of a blob that was there.
      if (position !== null && position > 0) return { appended: false }
      await operation('create', path, (container) => createAppendBlob(container, path, contentType))
      const again = await append()
      if (again === 'absent') throw new TransientError(`append to ${path}: expected the blob just made, got none`)
      return again
    },
    async putChunks(path, chunks, { condition, contentType, metadata }) {
      // Chunks that wait are the blob's, not the writer's: without a name of its own one would take another's for its own.
      const writer = randomUUID()
      const ids: string[] = []
      for await (const chunk of chunks) {
        const id = Buffer.from(`${writer}/${String(ids.length).padStart(5, '0')}`).toString('base64')
        const body = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        await operation('stage', path, (container) =>
          container.getBlockBlobClient(path).stageBlock(id, body, body.byteLength),
        )
        ids.push(id)
      }
      return operation('put', path, async (container) => {
        try {
          const answer = await container.getBlockBlobClient(path).commitBlockList(ids, {
            conditions: conditionsOf(condition),
            blobHTTPHeaders: { blobContentType: contentType },
            metadata: { ...metadata() },
          })
          return { written: true, etag: answer.etag ?? '' }
        } catch (error) {
          return notWritten(error)
        }
      })
    },
    remove: (path, etag) =>
      operation('remove', path, async (container) => {
        try {
          await container.getBlobClient(path).delete({ conditions: { ifMatch: etag } })
          return true
        } catch (error) {
          if (statusOf(error) === 404) return true
          if (statusOf(error) === 412) return false
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

async function appendBlock(
  container: ContainerClient,
  path: string,
  body: Uint8Array,
  position: number | null,
): Promise<AppendResult | 'absent'> {
  try {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    const conditions = position === null ? {} : { appendPosition: position }
    const answer = await container.getAppendBlobClient(path).appendBlock(bytes, bytes.byteLength, { conditions })
    return { appended: true, position: Number(answer.blobAppendOffset) + bytes.byteLength }
  } catch (error) {
    const status = statusOf(error)
    if (status === 412) return { appended: false }
    if (status === 404) return 'absent'
    throw error
  }
}

async function createAppendBlob(container: ContainerClient, path: string, contentType: string): Promise<void> {
  try {
    const conditions = { ifNoneMatch: '*' }
    await container.getAppendBlobClient(path).create({ conditions, blobHTTPHeaders: { blobContentType: contentType } })
  } catch (error) {
    // Somebody else made it.
    if (statusOf(error) !== 409 && statusOf(error) !== 412) throw error
  }
}

function conditionsOf(condition: PutCondition) {
  return condition.kind === 'absent' ? { ifNoneMatch: '*' } : { ifMatch: condition.etag }
}

function notWritten(error: unknown): PutResult {
  const status = statusOf(error)
  if (status === 409 || status === 412 || status === 403) return { written: false, status }
  throw error
}

async function readAll(stream: NodeJS.ReadableStream | undefined): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function lowerCaseKeys(metadata: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([key, value]) => [key.toLowerCase(), value]))
}
