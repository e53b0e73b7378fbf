import type { Log } from '../../log/log.ts'
import type { Database } from '../../postgres/database.ts'
import type { StatisticsSnapshot } from '../model/kinds/statistics-snapshot.ts'
import { type Collected, type CollectOptions, collectTargets } from './catalog/collect-targets.ts'
import type { CatalogFinding, CatalogTarget } from './catalog/finding.ts'
import {
  type PostgresColumn,
  type PostgresSchema,
  type PostgresTable,
  postgresTables,
} from './catalog/postgres-tables.ts'

export type PostgresCatalog = PostgresSchema & {
  readonly db: Database
  /** Names the server and database in targets. */
  readonly sourceId: string
}

/**
 * Tells the tables of a schema as the database's catalog describes them, and how much they hold by its estimates. Of
 * tables that are named, one that is not there (any more) is told as dropped.
 */
export function collectPostgresCatalog(
  catalog: PostgresCatalog,
  options: CollectOptions & { readonly log: Log },
): Promise<Collected> {
  return collectTargets(tableTargets(catalog), options.log, options)
}

async function* tableTargets({ db, sourceId, ...schema }: PostgresCatalog): AsyncGenerator<CatalogTarget> {
  const missing = new Set(schema.tables)
  const targetOf = (table: string, find: CatalogTarget['find']): CatalogTarget => ({
    target: { sourceId, schema: schema.schema, table },
    jobId: 'catalog-postgres',
    find,
  })
  for await (const table of postgresTables(db, schema)) {
    missing.delete(table.table)
    yield targetOf(table.table, async () => findingOf(table))
  }
  for (const table of missing) yield targetOf(table, async () => null)
}

function findingOf(table: PostgresTable): CatalogFinding {
  return {
    place: 'postgres',
    columns: table.columns.map(({ name, type, nullable, key, default: filled, comment }) => ({
      name,
      type,
      nullable,
      ...(key && { key }),
      ...(filled !== null && { default: filled }),
      ...(comment !== null && { comment }),
    })),
    ids: table.columns.map(({ id }) => id),
    statistics: heldBy(table),
  }
}

function heldBy({ rows, bytes, files, columns }: PostgresTable): CatalogFinding['statistics'] {
  if (rows === null) return null
  const payload: StatisticsSnapshot = {
    rows,
    ...(bytes !== null && { bytes }),
    ...(files !== null && { files }),
    columns: columns.flatMap((column) => columnStatistics(column, rows)),
  }
  return { payload, quality: 'estimated' }
}

function columnStatistics({ name, nullFraction, distinct }: PostgresColumn, rows: number) {
  if (nullFraction === null || distinct === null) return []
  return [
    {
      name,
      nulls: Math.round(nullFraction * rows),
      distinct: Math.round(distinct < 0 ? -distinct * rows : distinct),
    },
  ]
}
