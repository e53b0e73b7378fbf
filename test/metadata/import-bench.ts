import { afterAll, beforeAll, beforeEach } from 'vitest'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { type ImportFile, type ImportOptions, importHistory } from '../../shared/metadata/history/import-history.ts'
import type { ImportSummary } from '../../shared/metadata/history/import-summary.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataRepository } from '../../shared/metadata/model/repository.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

export const ORDERS = { source: 'crm', schema: 'sales', table: 'orders' }
export const TARGET = { sourceId: 'crm', schema: 'sales', table: 'orders' }

type Place = { readonly db: Database; readonly repository: MetadataRepository; readonly close: () => Promise<void> }

export type ImportBench = {
  readonly db: Database
  readonly repository: MetadataRepository
  readonly logged: LogFields[]
  readonly open: (hook?: IoHook, tenant?: string) => Place
  readonly run: (files: readonly ImportFile[], options?: Partial<ImportOptions>) => Promise<ImportSummary>
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Latest of every series and last revision of every fact, without ids and numbers that tell how they came. */
  readonly state: () => Promise<unknown>
  readonly clear: () => Promise<void>
}

/** Call it at the top of a test file's describe: a database without metadata at the start of each test. */
export function useImport(): ImportBench {
  const environment = useTestEnvironment()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'debug', secrets: [] })
  const open = (hook: IoHook = withoutHook, tenant = 'ours'): Place => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    const db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, hook)
    return { db, repository: repositoryOf(db, tenant), close: () => db.close() }
  }
  const repositoryOf = (db: Database, tenant: string) => {
    const store = { db, names: createNameBook(), kinds: fixedKinds(KINDS) }
    return openPostgresRepository({ store, environment: { tenant } })
  }
  let opened: Place | undefined
  const main = () => opened as Place
  const query = <Row>(text: string, values?: readonly unknown[]) =>
    main().db.query<Row>({ name: `test ${sha256Hex(text).slice(0, 16)}`, text }, values)
  const bench: ImportBench = {
    get db() {
      return main().db
    },
    get repository() {
      return main().repository
    },
    logged,
    open,
    query,
    run: (files, options) => importHistory({ ...main(), files, tenant: 'ours', log, ...options }),
    async state() {
      const rows = await query<{ state: unknown }>(`
        with fact as (
          select r.*, concat_ws(' ', t.source_id, t.schema_name, t.table_name, r.kind, r.scope, r.run_id, r.outcome,
                   r.effective_at, r.ordered_at, k.content, r.body::text) as said,
                 row_number() over (partition by k.key order by k.revision desc) as n
            from metadata.record r
            join metadata.target t using (target_no)
            join metadata.record_key k using (record_id))
        select jsonb_build_object(
          'facts', array(select said from fact where n = 1 order by 1),
          'latest', array(select said from fact join metadata.latest l using (record_id) order by 1),
          'links', array(select concat_ws(' ', run_id, rel, target_no is null, other_run_id) from metadata.link order by 1),
          'rejects', (select count(*) from metadata.reject),
          'events', array(select concat_ws(' ', run_key, event::text, source) from metadata.import_event order by 1)) as state`)
      return rows[0]?.state
    },
    async clear() {
      logged.length = 0
      await query(`
        with a as (delete from metadata.record), b as (delete from metadata.record_key), c as (delete from metadata.latest),
             d as (delete from metadata.link), e as (delete from metadata.import_event), f as (delete from metadata.reject),
             g as (delete from metadata.schema_body), h as (delete from metadata.target)
        select`)
      // The names that it remembers are gone.
      opened = { ...main(), repository: repositoryOf(main().db, 'ours') }
    },
  }
  beforeAll(() => {
    opened = open()
  })
  beforeEach(() => bench.clear())
  afterAll(() => opened?.close())
  return bench
}

/** Day of January 2024. */
export const at = (day: number, time = '00:00:00') => `2024-01-${String(day).padStart(2, '0')}T${time}Z`

export const window = (from: number, to: number) => ({ window_start: at(from), window_end: at(to) })

/** A progress line of run r1, which the manifest below says the table of. */
export const line = (slice: string, event: string, ts: string, fields: object = {}) => ({
  run_id: 'r1',
  slice,
  event,
  ts,
  ...fields,
})

export const manifest = (slices: readonly object[], fields: object = {}) => ({
  run_id: 'r1',
  ...ORDERS,
  created_at: at(9),
  slices,
  ...fields,
})

export const file = (name: string, ...values: readonly unknown[]) => ({
  name,
  text: values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n'),
})
