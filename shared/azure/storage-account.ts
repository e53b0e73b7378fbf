import type { TokenCredential } from '@azure/identity'

/** Where a storage account is and how we prove who we are: a connection string locally, an identity in Azure. */
export type StorageAccount =
  | { readonly kind: 'connection-string'; readonly connectionString: string }
  | {
      readonly kind: 'identity'
      readonly blobServiceUri: string
      readonly queueServiceUri: string | undefined
      /** Of a user-assigned identity; undefined means the system-assigned one, or a developer's own sign-in. */
      readonly clientId: string | undefined
    }

let credential: { readonly clientId: string | undefined; readonly value: TokenCredential } | undefined

/** The process's Azure credential. `@azure/identity` costs 100 ms to import, so it is loaded where it is first needed. */
export async function azureCredential(clientId: string | undefined): Promise<TokenCredential> {
  if (credential !== undefined && credential.clientId === clientId) return credential.value
  const { DefaultAzureCredential } = await import('@azure/identity')
  const value = clientId
    ? new DefaultAzureCredential({ managedIdentityClientId: clientId })
    : new DefaultAzureCredential()
  credential = { clientId, value }
  return value
}

/**
 * Retries of the SDK itself: few and short, because an ingest has its own. Four tries in all, so a storage that is
 * gone is reported within seconds and the next attempt of the ingest is planned by the database.
 */
export const SDK_RETRY_OPTIONS = { maxTries: 4, tryTimeoutInMs: 30_000, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 }
