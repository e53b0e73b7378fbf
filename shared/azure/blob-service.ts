import type { BlobServiceClient } from '@azure/storage-blob'
import { TransientError } from '../errors.ts'
import { azureCredential, SDK_RETRY_OPTIONS, type StorageAccount } from './storage-account.ts'

export async function connectBlobs(account: StorageAccount): Promise<BlobServiceClient> {
  // Loaded here because it costs more than all of our own code.
  const { BlobServiceClient } = await import('@azure/storage-blob')
  const options = { retryOptions: SDK_RETRY_OPTIONS }
  if (account.kind === 'connection-string') {
    return BlobServiceClient.fromConnectionString(account.connectionString, options)
  }
  return new BlobServiceClient(account.blobServiceUri, await azureCredential(account.clientId), options)
}

/** HTTP status of an error of the SDK. */
export function statusOf(error: unknown): number | undefined {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' ? statusCode : undefined
}

/** What the platform does about an error of the storage: try again later, or not. */
export function translate(error: Error, what: string): Error {
  const status = statusOf(error)
  // Neither the SDK's error nor one of the network: a mistake of ours, or a setting.
  if (status === undefined && error.name !== 'RestError' && !('code' in error)) return error
  if (status === undefined || status >= 500 || status === 408 || status === 429) {
    return new TransientError(`${what}: storage did not answer (${error.message})`, { cause: error })
  }
  return new Error(`${what}: ${error.message}`, { cause: error })
}
