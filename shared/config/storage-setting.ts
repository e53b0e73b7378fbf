import type { StorageAccount } from '../azure/storage-account.ts'
import type { Environment } from './environment.ts'

/**
 * A storage account under the names that the Functions host uses: either `<NAME>` is a connection string, or
 * `<NAME>__blobServiceUri`, `__queueServiceUri` and, for a user-assigned identity, `__clientId` are set.
 */
export function parseStorageAccount(
  env: Environment,
  name: string,
  report: (problem: string) => void,
): StorageAccount | undefined {
  const connectionString = env[name]
  const blobServiceUri = env[`${name}__blobServiceUri`]
  if (connectionString && blobServiceUri) {
    report(`${name}: expected a connection string or ${name}__blobServiceUri, got both`)
    return undefined
  }
  if (connectionString) {
    if (
      connectionString !== 'UseDevelopmentStorage=true' &&
      !/(^|;)(AccountName|BlobEndpoint)=/.test(connectionString)
    ) {
      report(`${name}: expected a storage connection string, got a text without AccountName or BlobEndpoint`)
      return undefined
    }
    return { kind: 'connection-string', connectionString }
  }
  if (!blobServiceUri) {
    report(`${name}: expected a connection string, or ${name}__blobServiceUri for an identity, got neither`)
    return undefined
  }
  const queueServiceUri = env[`${name}__queueServiceUri`]
  for (const uri of [blobServiceUri, queueServiceUri]) {
    if (uri && !URL.canParse(uri))
      report(`${name}: expected a service address such as https://<account>.blob.core.windows.net, got "${uri}"`)
  }
  return { kind: 'identity', blobServiceUri, queueServiceUri, clientId: env[`${name}__clientId`] || undefined }
}
