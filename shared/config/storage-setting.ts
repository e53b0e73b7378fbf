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
    const problem = problemOf(connectionString)
    if (problem === null) return { kind: 'connection-string', connectionString }
    report(`${name}: expected a storage connection string, got ${problem}`)
    return undefined
  }
  if (!blobServiceUri) {
    report(`${name}: expected a connection string, or ${name}__blobServiceUri for an identity, got neither`)
    return undefined
  }
  const queueServiceUri = env[`${name}__queueServiceUri`] || undefined
  for (const uri of [blobServiceUri, queueServiceUri]) {
    if (uri && !isAddress(uri))
      report(`${name}: expected a service address such as https://<account>.blob.core.windows.net, got "${uri}"`)
  }
  return { kind: 'identity', blobServiceUri, queueServiceUri, clientId: env[`${name}__clientId`] || undefined }
}

/** What the storage client would refuse at its first use, without a value in it: null where there is nothing. */
function problemOf(connectionString: string): string | null {
  if (connectionString.startsWith('UseDevelopmentStorage=true')) return null
  const has = (part: string) => new RegExp(`(?:^|;)\\s*${part}=[^;\\s]`).test(connectionString)
  const endpoints = [...connectionString.matchAll(/(?:^|;)\s*(\w+Endpoint)=([^;]*)/g)]
  const broken = endpoints.find(([, , address = '']) => !isAddress(address))
  if (!has('AccountName') && endpoints.length === 0) return 'a text without AccountName or BlobEndpoint'
  if (broken !== undefined) return `one whose ${broken[1]} is no address`
  if (has('SharedAccessSignature') && endpoints.length > 0) return null
  const missing = ['DefaultEndpointsProtocol', 'AccountName', 'AccountKey'].filter((part) => !has(part))
  if (endpoints.length === 0 && !has('EndpointSuffix')) missing.push('EndpointSuffix')
  if (missing.length > 0) return `one without ${missing.join(', ')}`
  if (!/(?:^|;)\s*DefaultEndpointsProtocol=https?\s*(?:;|$)/i.test(connectionString)) {
    return 'one whose DefaultEndpointsProtocol is neither http nor https'
  }
  return /(?:^|;)\s*AccountKey=[A-Za-z0-9+/]{2}/.test(connectionString) ? null : 'one whose AccountKey is no base64'
}

function isAddress(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

/** Whether anything of the account is set. */
export function hasStorage(env: Environment, name: string): boolean {
  return Object.keys(env).some((setting) => (setting === name || setting.startsWith(`${name}__`)) && env[setting])
}
