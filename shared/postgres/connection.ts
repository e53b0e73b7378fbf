import { azureCredential } from '../azure/storage-account.ts'
import type { DatabaseTarget } from '../config/database-target.ts'
import type { DatabaseSettings } from './database.ts'

const ENTRA_SCOPE = 'https://ossrdbms-aad.database.windows.net/.default'

/** With Entra every new connection asks for a token: the credential caches it until shortly before it expires. */
export function databaseConnection(target: DatabaseTarget): DatabaseSettings['connection'] {
  if (target.kind === 'url') return target
  const { clientId, ...rest } = target
  return {
    ...rest,
    async password() {
      const token = await (await azureCredential(clientId)).getToken(ENTRA_SCOPE)
      return token?.token ?? ''
    },
  }
}
