import { afterAll, beforeAll, expect, inject } from 'vitest'
import { azuriteConnectionString } from '../../jobs/local/stack/azurite.ts'
import { claimNumber } from './claim-number.ts'
import { createTestDatabase, dropTestDatabase } from './test-database.ts'
import { STORAGE_ACCOUNTS_MAX, storageAccountName } from './test-services.ts'

const DATABASES_MAX = 10_000

export type TestEnvironment = {
  /** A migrated database of this test file alone. */
  readonly databaseUrl: string
  /** A storage account of this test file alone: containers, queues and tables keep their real names. */
  readonly storageConnectionString: string
  /** The URL of one more database, for a test that needs an untouched one. */
  readonly newDatabase: () => Promise<string>
  /** The connection string of one more storage account; there are 1,200 in a run. */
  readonly newStorageAccount: () => string
}

/**
 * Call it at the top of a test file's describe. The databases are dropped when its tests are done, and a connection
 * that is still open then fails the file: close what you open.
 */
export function useTestEnvironment(): TestEnvironment {
  const services = inject('testServices')
  const databases: string[] = []
  let databaseUrl: string | undefined
  let storageConnectionString: string | undefined

  const newDatabase = async () => {
    const number = claimNumber(services.countersFolder, 'databases', DATABASES_MAX)
    const { name, url } = await createTestDatabase(services, number)
    databases.push(name)
    return url
  }
  const newStorageAccount = () => {
    const number = claimNumber(services.countersFolder, 'storage accounts', STORAGE_ACCOUNTS_MAX)
    return azuriteConnectionString(
      { name: storageAccountName(number), key: services.storageKey },
      services.storagePorts,
    )
  }

  beforeAll(async () => {
    databaseUrl = await newDatabase()
    storageConnectionString = newStorageAccount()
  })
  afterAll(async () => {
    const file = expect.getState().testPath ?? 'an unknown test file'
    // One by one: a file may have made hundreds, and the server takes only so many connections.
    for (const name of databases) await dropTestDatabase(services, name, file)
  })

  return {
    get databaseUrl() {
      return madeBeforeTests('databaseUrl', databaseUrl)
    },
    get storageConnectionString() {
      return madeBeforeTests('storageConnectionString', storageConnectionString)
    },
    newDatabase,
    newStorageAccount,
  }
}

function madeBeforeTests(name: string, value: string | undefined): string {
  if (value === undefined)
    throw new Error(`${name}: expected to be read inside a test or a hook, got a read before them`)
  return value
}
