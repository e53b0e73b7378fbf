import { z } from 'zod'
import { type Instant, parseInstant, systemNow } from '../../instant.ts'
import { sha256Hex } from '../../sha256.ts'
import { pageLimit, readCursor, writeCursor } from '../model/cursor.ts'
import { instantText } from '../model/instant-text.ts'
import type { MetadataEnvironment } from '../model/record.ts'
import { checkSeries, normalFilter, normalSeries } from '../model/record-filter.ts'
import {
  type MetadataRepository,
  type PageRequest,
  QueryError,
  type RecordFilter,
  type RecordPage,
  type StoreResult,
} from '../model/repository.ts'
import { storeChecked } from '../model/store-checked.ts'
import { aggregatePage } from './aggregate.ts'
import { readLatestOfMany } from './latest-of-many.ts'
import { queryConditions } from './query-conditions.ts'
import { HISTORY, LATEST, queryStatement } from './read-statements.ts'
import { type PostgresStore, storeMany } from './store-many.ts'
import { type StoredRow, toRecord } from './stored-row.ts'

export type PostgresRepositoryOptions = {
  readonly store: PostgresStore
  /** Its tenant is whose records are stored and seen. */
  readonly environment: MetadataEnvironment
  readonly clock?: () => Instant
}

const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Metadata records in PostgreSQL, in the schema `metadata` of whatever database `store` is. */
export function openPostgresRepository(options: PostgresRepositoryOptions): MetadataRepository {
  const { store, environment, clock = systemNow } = options
  const { tenant } = environment
  const { db, kinds } = store

  const bulkStore = (records: readonly unknown[]): Promise<readonly StoreResult[]> =>
    storeChecked(records, { kinds, environment, now: clock() }, (good) => storeMany(store, good))

  const filterOf = async (given: RecordFilter) => {
    try {
      return normalFilter(given, kinds.known())
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      // It may ask for extras that were declared since.
      await kinds.reload()
      return normalFilter(given, kinds.known())
    }
  }

  return {
    bulkStore,
    store: async (record) => (await bulkStore([record]))[0] as StoreResult,
    async latest(series) {
      const { target, kind, scope } = normalSeries(series)
      const values = [tenant, target.sourceId, target.schema, target.table, kind, scope]
      const [row] = await db.query<StoredRow & { changeNo: number }>(LATEST, values)
      return row === undefined ? null : { record: toRecord(row), changeNo: row.changeNo }
    },
    async latestOfMany(series) {
      const found = await readLatestOfMany(db, tenant, checkSeries(series))
      return found.map((latest) => latest && { record: latest.record, changeNo: latest.changeNo })
    },
    async history(series, page = {}) {
      const { target, kind, scope } = normalSeries(series)
      const request = { history: { target, kind, scope } }
      const { limit, at } = readPage(page, request, ['infinity', 'infinity', LAST_ID])
      const values = [tenant, target.sourceId, target.schema, target.table, kind, scope, ...at, limit + 1]
      const rows = await db.query<StoredRow>(HISTORY, values)
      return pageOf(rows, limit, ({ effectiveAt, orderedAt, recordId }) =>
        writeCursor(request, [instantText(effectiveAt), instantText(orderedAt), recordId]),
      )
    },
    async query(given, page = {}) {
      const { filter, json } = await filterOf(given)
      const request = { query: json }
      const { limit, at } = readPage(page, request, ['infinity', LAST_ID])
      const [effectiveAt = '', recordId = ''] = at
      const after = page.after === undefined ? null : { effectiveAt, recordId }
      const conditions = queryConditions(tenant, filter, after)
      const text = queryStatement(conditions.text, conditions.values.length + 1)
      const statement = { name: `query_metadata_${sha256Hex(text).slice(0, 16)}`, text }
      const rows = await db.query<StoredRow>(statement, [...conditions.values, limit + 1])
      return pageOf(rows, limit, (row) => writeCursor(request, [instantText(row.effectiveAt), row.recordId]))
    },
    aggregate: (asked, page) => aggregatePage(db, tenant, asked, page),
  }
}

function readPage(page: PageRequest, request: Parameters<typeof readCursor>[1], first: readonly string[]) {
  const at = readCursor(page.after, request)
  if (at !== null) checkPosition(at, first.length)
  return { limit: pageLimit(page.limit), at: at ?? first }
}

/** Times, then an id: as `writeCursor` was given them. */
function checkPosition(at: readonly string[], length: number): void {
  const times = at.slice(0, -1)
  const known = times.every((time) => parseInstant(time) !== undefined) && z.uuid().safeParse(at.at(-1)).success
  if (at.length === length && known) return
  throw new QueryError('malformed-cursor', 'cursor: expected one that a page named, got another position')
}

function pageOf(rows: readonly StoredRow[], limit: number, cursorOf: (row: StoredRow) => string): RecordPage {
  const last = rows[limit - 1]
  return {
    records: rows.slice(0, limit).map(toRecord),
    next: rows.length > limit && last !== undefined ? cursorOf(last) : null,
  }
}
