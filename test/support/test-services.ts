import type { AzuritePorts } from '../../jobs/local/stack/azurite.ts'

/** What the global setup tells every test file. */
export type TestServices = {
  /** A role that may create databases, on a database that no test touches. */
  readonly maintenanceUrl: string
  /** `<databasePrefix>_template` is migrated; test databases are `<databasePrefix>_<number>`. */
  readonly databasePrefix: string
  readonly storagePorts: AzuritePorts
  readonly storageKey: string
  /** Numbers that were given out are files in it, so that parallel workers never share one. */
  readonly countersFolder: string
}

export const STORAGE_ACCOUNTS_MAX = 1_200

export function storageAccountName(number: number): string {
  return `tributarytest${number}`
}

declare module 'vitest' {
  interface ProvidedContext {
    readonly testServices: TestServices
  }
}
