import type { Table, TableRow } from '../../azure/tables.ts'
import { LATEST_TABLE } from '../../config/storage-names.ts'
import { TransientError } from '../../errors.ts'
import type { Instant } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import type { FeedConsumer } from '../feed/consumer.ts'
import { STORED_BODIES } from '../feed/feed-statements.ts'
import { instantText } from '../model/instant-text.ts'
import { COLUMNS } from '../postgres/read-statements.ts'
import { type StoredRow, toRecord } from '../postgres/stored-row.ts'
import { partitionKeyOf, rowKeyOf, type SeriesName } from './latest-key.ts'

export const LATEST_TABLE_CONSUMER = 'latest_table'

/** A property holds 32,768 characters. */
const BODY_CHARS_MAX = 30_000
const WRITES_AT_ONCE = 8
const TRIES_MAX = 5

// In one snapshot with the feed's start, which tells rows of before a restore from those of after it.
const LATEST_OF_SERIES: Statement = {
  name: 'latest_of_metadata_series',
  text: `
select w.n, f.started_at as "feedStartedAt", l.change_no as "changeNo", ${COLUMNS}
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) with ordinality
         as w (tenant, source_id, schema_name, table_name, kind, scope, n)
 cross join metadata.feed f
 cross join lateral (
   select g.target_no from metadata.target g join metadata.tenant n using (tenant_no)
    where n.tenant = w.tenant and g.source_id = w.source_id and g.schema_name = w.schema_name
      and g.table_name = w.table_name
    limit 1) g
 cross join lateral (
   select l.change_no, l.record_id from metadata.latest l
    where l.target_no = g.target_no and l.kind = w.kind and l.scope = w.scope
    limit 1) l
 cross join lateral (select r.* from metadata.record r where r.record_id = l.record_id limit 1) r ${STORED_BODIES}`,
}

type LatestRow = StoredRow & { readonly n: number; readonly feedStartedAt: Instant; readonly changeNo: number }

/**
 * The table `MetadataLatest`, for readers without PostgreSQL: of each series that the feed touched, what PostgreSQL says
 * now. Never what the feed said: that may be old. A row is written only where it is newer, and only in the place of the
 * one that it was compared with, so that order, repetition and a writer that lost its lease make no difference. After a
 * restore, `change_no` may be lower than it was: rows of an older feed are older, whatever they say.
 */
export function latestTableConsumer({ table }: { readonly table: Table }): FeedConsumer {
  return {
    name: LATEST_TABLE_CONSUMER,
    async consume(records, { db, signal }) {
      const touched = new Map<string, SeriesName>()
      for (const { tenant, record } of records) {
        const { sourceId, schema, table } = record.target
        const series = { tenant, sourceId, schema, table, kind: record.kind, scope: record.scope }
        touched.set(JSON.stringify(Object.values(series)), series)
      }
      const rows = await latestRows(db, [...touched.values()])
      for (let start = 0; start < rows.length; start += WRITES_AT_ONCE) {
        signal.throwIfAborted()
        await Promise.all(rows.slice(start, start + WRITES_AT_ONCE).map((row) => writeNewer(table, row)))
      }
    },
  }
}

async function latestRows(db: Queryable, series: readonly SeriesName[]): Promise<readonly TableRow[]> {
  const rows = await db.query<LatestRow>(LATEST_OF_SERIES, [
    series.map(({ tenant }) => tenant),
    series.map(({ sourceId }) => sourceId),
    series.map(({ schema }) => schema),
    series.map(({ table }) => table),
    series.map(({ kind }) => kind),
    series.map(({ scope }) => scope),
  ])
  return rows.flatMap((row) => {
    const name = series[row.n - 1]
    return name === undefined ? [] : [tableRow(name, row)]
  })
}

function tableRow(name: SeriesName, row: LatestRow): TableRow {
  const record = toRecord(row)
  const body = JSON.stringify(record)
  const fits = body.length <= BODY_CHARS_MAX
  const { runId } = record.context
  return {
    partitionKey: partitionKeyOf(name),
    rowKey: rowKeyOf(name),
    values: {
      ...name,
      feedStartedAt: instantText(row.feedStartedAt),
      changeNo: BigInt(row.changeNo),
      recordId: record.recordId,
      kindVersion: record.kindVersion,
      revision: record.revision,
      producerId: record.producerId,
      effectiveAt: record.effectiveAt,
      storedAt: record.storedAt,
      ...(record.outcome !== undefined && { outcome: record.outcome }),
      ...(runId !== undefined && { runId }),
      // The record as every repository gives it, where it is not too large for a row.
      bodyOmitted: !fits,
      ...(fits && { body }),
    },
  }
}

async function writeNewer(table: Table, row: TableRow): Promise<void> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const there = await table.get(row.partitionKey, row.rowKey)
    if (there !== null && !isNewer(row, there.row)) return
    const condition =
      there === null ? ({ kind: 'absent' } as const) : ({ kind: 'unchanged', etag: there.etag } as const)
    if (await table.write(row, condition)) return
  }
  throw new TransientError(
    `${LATEST_TABLE} ${row.partitionKey}/${row.rowKey}: expected one writer, got others each time`,
  )
}

function isNewer(row: TableRow, there: TableRow): boolean {
  const [feed, thereFeed] = [row.values.feedStartedAt, there.values.feedStartedAt]
  // Texts of fixed width.
  if (typeof feed !== 'string' || typeof thereFeed !== 'string' || feed > thereFeed) return true
  const [changeNo, thereChangeNo] = [row.values.changeNo, there.values.changeNo]
  if (typeof changeNo !== 'bigint' || typeof thereChangeNo !== 'bigint') return true
  return feed === thereFeed && changeNo > thereChangeNo
}
