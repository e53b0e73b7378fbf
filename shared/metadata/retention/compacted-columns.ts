import type { SchemaElement } from 'hyparquet'
import { schemaElement } from '../../curated/parquet-schema.ts'
import type { Column, ColumnType } from '../../datasets/contract.ts'
import { allocateColumn, type ColumnData } from '../../datasets/row-batch.ts'
import type { StoredRow } from '../postgres/stored-row.ts'

/** A record with all that its table holds, as `metadata.record` has it. */
export type CompactedRow = StoredRow & { readonly tenant: string }

/** Changes with the columns below: a reader refuses what it does not know. */
export const COMPACTED_VERSION = '1'

type Field = keyof CompactedRow

const FIELDS: readonly (readonly [Field, string, ColumnType, nullable: boolean, description: string])[] = [
  ['recordId', 'record_id', 'string', false, 'given by the store; the order of the file'],
  ['tenant', 'tenant', 'string', false, 'whose it is'],
  ['sourceId', 'source_id', 'string', false, 'of the target'],
  ['schemaName', 'schema_name', 'string', false, 'of the target'],
  ['tableName', 'table_name', 'string', false, 'of the target'],
  ['kind', 'kind', 'string', false, 'what is said'],
  ['kindVersion', 'kind_version', 'string', false, 'major.minor'],
  ['scope', 'scope', 'string', false, 'empty: the whole target'],
  ['effectiveAt', 'effective_at', 'instant', false, 'end of the window, else when it was produced'],
  ['orderedAt', 'ordered_at', 'instant', false, 'when it was produced, never before the revision before'],
  ['revision', 'revision', 'int32', false, 'of the fact'],
  ['windowStart', 'window_start', 'instant', true, 'what time is told about'],
  ['windowEnd', 'window_end', 'instant', true, 'what time is told about'],
  ['outcome', 'outcome', 'string', true, 'of kinds that have outcomes'],
  ['quality', 'quality', 'string', false, 'live, backfilled or estimated'],
  ['producerId', 'producer_id', 'string', false, 'who said it'],
  ['jobId', 'job_id', 'string', true, 'of the context'],
  ['runId', 'run_id', 'string', true, 'of the context'],
  ['producedAt', 'produced_at', 'instant', false, 'by the clock of the producer'],
  ['storedAt', 'stored_at', 'instant', false, 'by the clock of the database; the day of the file'],
  ['body', 'body', 'string', false, 'JSON: payload, context, links, extras, key'],
  ['columns', 'columns', 'string', true, 'JSON: columns of a schema snapshot'],
]

export const COMPACTED_COLUMNS: readonly Column[] = FIELDS.map(([, name, type, nullable, description]) => ({
  name,
  type,
  nullable,
  description,
}))

export function compactedSchema(): SchemaElement[] {
  return [{ name: 'root', num_children: COMPACTED_COLUMNS.length }, ...COMPACTED_COLUMNS.map(schemaElement)]
}

/** Column by column, in the order of COMPACTED_COLUMNS. */
export function columnsOf(rows: readonly CompactedRow[]): readonly ColumnData[] {
  return FIELDS.map(([field], index) => {
    const column = COMPACTED_COLUMNS[index] as Column
    const values = allocateColumn(column, rows.length) as unknown[]
    for (let row = 0; row < rows.length; row++) values[row] = rows[row]?.[field]
    return values as unknown as ColumnData
  })
}

export function columnIndex(field: Field): number {
  return FIELDS.findIndex(([name]) => name === field)
}

/** The row at `row` of a group's columns, as `columnsOf` was given it. */
export function rowOf(columns: readonly ColumnData[], row: number): CompactedRow {
  const fields = FIELDS.map(([field], index) => [field, columns[index]?.[row]])
  return Object.fromEntries(fields) as CompactedRow
}
