import type { TableClient } from '@azure/data-tables'
import { TransientError, toError } from '../errors.ts'
import { type IoHook, withoutHook } from '../io-hook.ts'
import { azureCredential, type StorageAccount } from './storage-account.ts'

/** Values of a row; integers that may grow beyond 2^31 are bigint. */
export type TableValue = string | number | bigint | boolean | Date

export type TableRow = {
  readonly partitionKey: string
  readonly rowKey: string
  readonly values: Readonly<Record<string, TableValue>>
}

export type StoredTableRow = { readonly row: TableRow; readonly etag: string }

/** What must hold for a conditional write to happen. */
export type RowCondition = { readonly kind: 'absent' } | { readonly kind: 'unchanged'; readonly etag: string }

/** One table of the lake's account. Every operation throws `TransientError` where the storage did not answer. */
export type Table = {
  /** Writes the row in place of the one that is there. */
  readonly replace: (row: TableRow) => Promise<void>
  /** Null where there is no such row, or no such table. Keys are those that were written, so none that are replaced. */
  readonly get: (partitionKey: string, rowKey: string) => Promise<StoredTableRow | null>
  /** The same as `replace` where the condition holds; false where it does not, and nothing was written. */
  readonly write: (row: TableRow, condition: RowCondition) => Promise<boolean>
  /** At most `countMax` rows of a partition, by row key. A table that is absent has none. */
  readonly rows: (partitionKey: string, countMax: number) => Promise<readonly TableRow[]>
  /** Creates the table where it is missing. Only the local stack does: in Azure, Bicep made it. */
  readonly ensure: () => Promise<void>
}

export type TableOptions = { readonly account: StorageAccount; readonly table: string; readonly hook?: IoHook }

export function openTable({ account, table, hook = withoutHook }: TableOptions): Table {
  let opening: Promise<TableClient> | undefined
  const operation = <T>(action: string, subject: string, run: (client: TableClient) => Promise<T>): Promise<T> =>
    hook({ client: 'table', action, subject: `${table}/${subject}` }, async () => {
      opening ??= connect(account, table)
      try {
        return await run(await opening)
      } catch (error) {
        throw translate(toError(error), `${action} of table ${table}`)
      }
    })

  return {
    replace: ({ partitionKey, rowKey, values }) =>
      operation('replace', `${partitionKey}/${rowKey}`, async (client) => {
        await client.upsertEntity({ ...values, partitionKey: keyOf(partitionKey), rowKey: keyOf(rowKey) }, 'Replace')
      }),
    get: (partitionKey, rowKey) =>
      operation('get', `${partitionKey}/${rowKey}`, async (client) => {
        try {
          const entity = await client.getEntity<Record<string, unknown>>(keyOf(partitionKey), keyOf(rowKey))
          return { row: rowOf(entity), etag: entity.etag }
        } catch (error) {
          if (statusOf(error) === 404) return null
          throw error
        }
      }),
    write: ({ partitionKey, rowKey, values }, condition) =>
      operation('write', `${partitionKey}/${rowKey}`, async (client) => {
        const entity = { ...values, partitionKey: keyOf(partitionKey), rowKey: keyOf(rowKey) }
        try {
          if (condition.kind === 'absent') await client.createEntity(entity)
          else await client.updateEntity(entity, 'Replace', { etag: condition.etag })
          return true
        } catch (error) {
          const status = statusOf(error)
          // A row that is gone is not unchanged; for a new one 404 means that the table is missing.
          if (status === 409 || status === 412 || (status === 404 && condition.kind === 'unchanged')) return false
          throw error
        }
      }),
    rows: (partitionKey, countMax) =>
      operation('list', partitionKey, async (client) => {
        const filter = `PartitionKey eq '${keyOf(partitionKey).replaceAll("'", "''")}'`
        const rows: TableRow[] = []
        try {
          for await (const entity of client.listEntities<Record<string, unknown>>({ queryOptions: { filter } })) {
            rows.push(rowOf(entity))
            if (rows.length === countMax) break
          }
        } catch (error) {
          if (statusOf(error) !== 404) throw error
        }
        return rows
      }),
    ensure: () =>
      operation('ensure', '', async (client) => {
        await client.createTable()
      }),
  }
}

async function connect(account: StorageAccount, table: string): Promise<TableClient> {
  // Loaded here: most processes never write to a table.
  const { TableClient } = await import('@azure/data-tables')
  const retryOptions = { maxRetries: 2, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 }
  if (account.kind === 'connection-string') {
    // The emulator speaks http; a real account's connection string says https, and then nothing else is spoken.
    const allowInsecureConnection = /(^|;)(DefaultEndpointsProtocol|TableEndpoint)=http[:;]/.test(
      `${account.connectionString};`,
    )
    return TableClient.fromConnectionString(account.connectionString, table, {
      retryOptions,
      allowInsecureConnection:
        allowInsecureConnection || account.connectionString.startsWith('UseDevelopmentStorage=true'),
    })
  }
  const credential = await azureCredential(account.clientId)
  return new TableClient(tableServiceUri(account.blobServiceUri), table, credential, { retryOptions })
}

/** The services of an account differ in one label of their names: `<account>.blob.…` and `<account>.table.…`. */
function tableServiceUri(blobServiceUri: string): string {
  return blobServiceUri.replace('.blob.', '.table.')
}

/** Neither slash, backslash, number sign, question mark nor control character may stand in a key. */
function keyOf(text: string): string {
  return text.replaceAll(/[/\\#?\p{Cc}]/gu, ':')
}

type Entity = Readonly<Record<string, unknown>> & { readonly partitionKey?: string; readonly rowKey?: string }

function rowOf(entity: Entity): TableRow {
  // The last of them only where one entity was asked for.
  const { partitionKey = '', rowKey = '', etag: _, timestamp: __, 'odata.metadata': ___, ...values } = entity
  return { partitionKey, rowKey, values: knownValues(values) }
}

function knownValues(values: Readonly<Record<string, unknown>>): Record<string, TableValue> {
  const known: Record<string, TableValue> = {}
  for (const [name, value] of Object.entries(values)) {
    if (['string', 'number', 'bigint', 'boolean'].includes(typeof value) || value instanceof Date) {
      known[name] = value as TableValue
    }
  }
  return known
}

function statusOf(error: unknown): number | undefined {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' ? statusCode : undefined
}

function translate(error: Error, what: string): Error {
  // An error that is not of the service (a setting, a fault in our own code) is nothing that passes.
  if (error.name !== 'RestError') return error
  const status = statusOf(error)
  if (status === undefined || status >= 500 || status === 408 || status === 429) {
    return new TransientError(`${what}: storage did not answer (${error.message.split('\n')[0]})`, { cause: error })
  }
  return new Error(`${what}: expected the storage to accept it, got ${status}`, { cause: error })
}
