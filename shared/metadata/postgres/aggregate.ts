import { z } from 'zod'
import { parseDate } from '../../instant.ts'
import type { Queryable, Statement } from '../../postgres/database.ts'
import { cellPosition, type NormalAggregate, normalAggregate } from '../model/aggregate-query.ts'
import { pageLimit, readCursor, writeCursor } from '../model/cursor.ts'
import { readJson } from '../model/json-input.ts'
import {
  type AggregateCell,
  type AggregatePage,
  type AggregateQuery,
  type PageRequest,
  QueryError,
} from '../model/repository.ts'
import { TENANT_NO } from './read-statements.ts'

type CellRow = {
  readonly sourceId: string
  readonly schemaName: string
  readonly tableName: string
  readonly kind: string
  readonly scope: string
  readonly metric: string
  readonly grain: 'day' | 'month'
  readonly bucket: string
  readonly n: number
  readonly total: number | null
  readonly min: number | null
  readonly max: number | null
  readonly outcomes: unknown
}

// In one order for every repository, that of names. A page sorts the cells of its first buckets only: the index has
// them by bucket, and the row comparison begins at one.
const AGGREGATE: Statement = {
  name: 'aggregate_metadata_records',
  text: `
select t.source_id as "sourceId", t.schema_name as "schemaName", t.table_name as "tableName", u.kind, u.scope, u.metric,
       u.grain, to_char(u.bucket, 'YYYY-MM-DD') as bucket, u.n, u.total, u.min_value as min, u.max_value as max,
       u.outcomes
  from metadata.rollup u
  join metadata.target t on t.target_no = u.target_no
 where t.tenant_no = ${TENANT_NO} and u.kind = $2::text and u.grain = $3::text
   and u.bucket >= $4::date and u.bucket < $5::date
   and ($6::text is null or (t.source_id = $6::text and t.schema_name = $7::text and t.table_name = $8::text))
   and ($9::text is null or u.scope = $9::text)
   and ($10::text is null or u.metric = $10::text)
   and ($11::date is null or (u.bucket >= $11::date
        and (u.bucket, t.source_id collate "C", t.schema_name collate "C", t.table_name collate "C", u.scope, u.metric)
          > ($11::date, $12::text, $13::text, $14::text, $15::text, $16::text)))
 order by u.bucket, t.source_id collate "C", t.schema_name collate "C", t.table_name collate "C", u.scope, u.metric
 limit $17::int`,
}

const outcomes = z.record(z.string(), z.number())

const POSITION_PARTS = 6
const NOWHERE: readonly null[] = Array.from({ length: POSITION_PARTS }, () => null)

/** A page of the rollups, which lag behind the records by what their consumer has yet to read. Throws QueryError. */
export async function aggregatePage(
  db: Queryable,
  tenant: string,
  given: AggregateQuery,
  page: PageRequest = {},
): Promise<AggregatePage> {
  const query = normalAggregate(given)
  const request = { aggregate: query }
  const after = readCursor(page.after, request)
  if (after !== null) checkPosition(after)
  const limit = pageLimit(page.limit)
  const rows = await db.query<CellRow>(AGGREGATE, [...valuesOf(tenant, query), ...(after ?? NOWHERE), limit + 1])
  const cells = rows.slice(0, limit).map(toCell)
  const last = cells.at(-1)
  return { cells, next: rows.length > limit && last !== undefined ? writeCursor(request, cellPosition(last)) : null }
}

function valuesOf(tenant: string, { kind, grain, from, to, target, scope, metric }: NormalAggregate) {
  const named = [target?.sourceId ?? null, target?.schema ?? null, target?.table ?? null]
  return [tenant, kind, grain, from, to, ...named, scope ?? null, metric ?? null]
}

function checkPosition(at: readonly string[]): void {
  if (at.length === POSITION_PARTS && parseDate(at[0] ?? '') !== undefined && readJson([...at]).ok) return
  throw new QueryError('malformed-cursor', 'cursor: expected one that a page named, got another position')
}

function toCell({ sourceId, schemaName, tableName, n, outcomes: told, ...rest }: CellRow): AggregateCell {
  return {
    target: { sourceId, schema: schemaName, table: tableName },
    ...rest,
    count: n,
    outcomes: outcomes.parse(told),
  }
}
