import type { BlobContainer } from '../../azure/blobs.ts'
import { type Instant, parseInstant } from '../../instant.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import type { MetadataRecord } from '../model/record.ts'
import { QueryError, type Series } from '../model/repository.ts'
import { BODIES, COLUMNS, TENANT_NO, targetNo } from '../postgres/read-statements.ts'
import { type StoredRow, toRecord } from '../postgres/stored-row.ts'
import { type CompactedRow, columnIndex } from './compacted-columns.ts'
import { type CompactedFile, type CompactedGroup, readCompactedFile } from './compacted-reader.ts'

/** Where records are: the newer ones in the table, the older ones in files. */
export type RecordPlaces = {
  readonly db: Database
  /** The container `metadata`. */
  readonly files: BlobContainer
}

export type RecordSelection = {
  readonly tenant: string
  readonly kind: string
  /** Effective time, half-open, RFC 3339. */
  readonly from: string
  readonly to: string
  readonly target?: Series['target'] | undefined
}

const PAGE_ROWS = 500

// The boundary and what is hot, in one snapshot: a record below it is read from its file, although it may still be here.
// Its end, and the boundary, are no conditions of an index: PostgreSQL took the range between two bounds for small and
// sorted all that was left for each page.
const hotStatement = (name: string, condition: string): Statement => ({
  name,
  text: `
with boundary as (
  select to_char(max(c.below), 'YYYY-MM-DD') as day, coalesce(max(c.below)::timestamp, '-infinity') as start
    from metadata.compaction c where c.kind = $2::text
)
select b.day as below, h.*
  from boundary b
  left join lateral (
    select ${COLUMNS}
      from metadata.record r ${BODIES}
     where r.tenant_no = ${TENANT_NO} and r.kind = $2::text and (r.stored_at at time zone 'UTC') >= b.start
       and (r.effective_at, r.record_id) > ($3::timestamptz, $4::uuid)${condition}
     order by r.effective_at, r.record_id
     limit ${PAGE_ROWS}) h on true
 order by h."effectiveAt", h."recordId"`,
})

const HOT = hotStatement('hot_metadata_records', '')
const HOT_OF_TARGET = hotStatement('hot_metadata_records_of_a_target', `\n       and r.target_no = ${targetNo(5)}`)

const FILES: Statement = {
  name: 'compacted_files_of_a_kind',
  text: `
select f.path, f.bytes, encode(f.sha256, 'hex') as sha256
  from metadata.compacted_file f
 where f.tenant_no = ${TENANT_NO} and f.kind = $2::text
   and f.max_effective_at >= $3::timestamptz and f.min_effective_at < $4::timestamptz
   and ($5::date is null or f.stored_day >= $5::date) and f.stored_day < $6::date
 order by f.stored_day`,
}

type Position = { readonly effectiveAt: Instant; readonly recordId: string }
type HotRow = { readonly below: string | null } & (StoredRow | { readonly recordId: null })

/** Days that were compacted before the reader came to them, and how far it had come when it found out. */
type FiledDays = { readonly from: string | null; readonly below: string; readonly after: Position | null }

const NO_ID = '00000000-0000-0000-0000-000000000000'

/**
 * Every record once, wherever it is: hot ones in the order of time, then those of the files. What is stored meanwhile
 * may be among them or not; what is compacted meanwhile is not lost: from the records that were read before in the order
 * of (effective time, id), the files of these days are read on. Throws QueryError, CompactedFileError.
 */
export async function* readAllRecords(
  { db, files }: RecordPlaces,
  selection: RecordSelection,
): AsyncGenerator<MetadataRecord> {
  const { from, to } = checkRange(selection)
  const filed: FiledDays[] = []
  let position: Position | null = null
  for (let more = true; more; ) {
    const page: readonly HotRow[] = await hotPage(db, selection, position ?? { effectiveAt: from, recordId: NO_ID })
    const below = page[0]?.below ?? null
    const known = filed.at(-1)?.below ?? null
    if (below !== null && below !== known) filed.push({ from: known, below, after: position })
    const rows = page.filter((row): row is HotRow & StoredRow => row.recordId !== null && row.effectiveAt < to)
    for (const row of rows) yield toRecord(row)
    position = rows.at(-1) ?? position
    more = rows.length === PAGE_ROWS
  }
  for (const days of filed) {
    for (const file of await filesOf(db, selection, days)) {
      for await (const group of readCompactedFile(files, file)) {
        for (const { read } of rowsOf(group, { ...selection, from, to })) {
          const row = read()
          if (days.after === null || isAfter(row, days.after)) yield toRecord(row)
        }
      }
    }
  }
}

function hotPage(db: Queryable, selection: RecordSelection, { effectiveAt, recordId }: Position): Promise<HotRow[]> {
  const { tenant, kind, target } = selection
  const after = [tenant, kind, effectiveAt, recordId]
  if (target === undefined) return db.query<HotRow>(HOT, after)
  return db.query<HotRow>(HOT_OF_TARGET, [...after, target.sourceId, target.schema, target.table])
}

function filesOf(
  db: Queryable,
  { tenant, kind, from, to }: RecordSelection,
  days: FiledDays,
): Promise<CompactedFile[]> {
  return db.query<CompactedFile>(FILES, [tenant, kind, from, to, days.from, days.below])
}

type FileSelection = {
  readonly from: Instant
  readonly to: Instant
  readonly target?: Series['target'] | undefined
}

/**
 * Rows of a group that are asked for, by their place in its columns. Most of a file is bodies: they are decoded with the
 * first row that is read.
 */
export function* rowsOf(
  group: CompactedGroup,
  { from, to, target }: FileSelection,
): Generator<{ readonly row: number; readonly read: () => CompactedRow }> {
  const at = group.column(columnIndex('effectiveAt'))
  const names = target === undefined ? [] : [target.sourceId, target.schema, target.table]
  const columns = [...TARGET_FIELDS].slice(0, names.length).map((field) => group.column(columnIndex(field)))
  for (let row = 0; row < group.rowCount; row++) {
    const effectiveAt = at[row]
    if (typeof effectiveAt !== 'bigint' || effectiveAt < from || effectiveAt >= to) continue
    if (columns.every((column, index) => column[row] === names[index])) yield { row, read: () => group.row(row) }
  }
}

const TARGET_FIELDS = ['sourceId', 'schemaName', 'tableName'] as const

function isAfter(row: Position, position: Position): boolean {
  if (row.effectiveAt !== position.effectiveAt) return row.effectiveAt > position.effectiveAt
  return row.recordId > position.recordId
}

function checkRange({ from, to }: RecordSelection): { readonly from: Instant; readonly to: Instant } {
  const [first, last] = [parseInstant(from), parseInstant(to)]
  if (first !== undefined && last !== undefined) return { from: first, to: last }
  throw new QueryError('invalid-query', `records: expected two RFC 3339 instants, got ${from} and ${to}`)
}
