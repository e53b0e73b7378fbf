import { afterAll, beforeAll } from 'vitest'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataEnvironment } from '../../shared/metadata/model/record.ts'
import {
  type Dispatched,
  type DispatchLimits,
  type DispatchSource,
  dispatchAll,
} from '../../shared/metadata/outbox/dispatch.ts'
import { dispatchHere } from '../../shared/metadata/outbox/dispatch-here.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

export const OURS: MetadataEnvironment = { workspace: 'test', tenant: 'ours' }

/** What is in the tables, with names in the place of ids: equal for equal facts, however they came. */
export type MetadataState = {
  readonly records: readonly string[]
  readonly latest: readonly string[]
  readonly links: readonly string[]
  readonly rejects: readonly string[]
  readonly outbox: number
}

export type DispatchBench = {
  readonly source: DispatchSource
  readonly logged: LogFields[]
  readonly open: (hook?: IoHook) => DispatchSource & { readonly close: () => Promise<void> }
  /** Records as a producer wrote them: JSON of anything, or text. */
  readonly write: (records: readonly unknown[], tenant?: string | null) => Promise<void>
  readonly dispatch: (limits?: DispatchLimits, source?: DispatchSource) => Promise<Dispatched>
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  readonly state: () => Promise<MetadataState>
  readonly clear: () => Promise<void>
}

/** Call it at the top of a test file's describe: the outbox and the records of one database. */
export function useDispatch(): DispatchBench {
  const environment = useTestEnvironment()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'debug', secrets: [] })
  const open = (hook: IoHook = withoutHook) => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    const db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, hook)
    return { db, kinds: fixedKinds(KINDS), environment: OURS, log, close: () => db.close() }
  }
  let main: ReturnType<typeof open> | undefined
  beforeAll(() => {
    main = open()
  })
  afterAll(() => main?.close())
  const source = () => main as ReturnType<typeof open>
  const query = <Row>(text: string, values?: readonly unknown[]) =>
    source().db.query<Row>({ name: `test ${sha256Hex(text).slice(0, 16)}`, text }, values)

  return {
    get source() {
      return source()
    },
    logged,
    open,
    async write(records, tenant = null) {
      const texts = records.map((record) => (typeof record === 'string' ? record : JSON.stringify(record)))
      await query('insert into metadata.outbox (tenant, record) select $1, r from unnest($2::text[]) as r', [
        tenant,
        texts,
      ])
    },
    dispatch: (limits, from = source()) => dispatchAll(dispatchHere(from, createNameBook()), limits),
    query,
    state: () => readState(source().db),
    async clear() {
      logged.length = 0
      await query(`
        with a as (delete from metadata.record), b as (delete from metadata.record_key), c as (delete from metadata.latest),
             d as (delete from metadata.link), e as (delete from metadata.outbox), f as (delete from metadata.reject),
             g as (delete from metadata.schema_body)
        select`)
    },
  }
}

/** Every text in it is sorted. */
export async function readState(db: Database): Promise<MetadataState> {
  const text = `
    with named as (
      select r.*, concat_ws(' ', n.tenant, t.source_id, t.schema_name, t.table_name, r.kind, r.scope) as series,
             concat_ws(' ', coalesce(r.run_id, '-'), r.revision, r.effective_at, r.ordered_at, k.content) as fact
        from metadata.record r
        join metadata.tenant n using (tenant_no)
        join metadata.target t using (target_no)
        join metadata.record_key k using (record_id)
    )
    select array(select series || ' ' || fact from named order by 1) as records,
           array(select series || ' ' || fact from named join metadata.latest l using (record_id) order by 1) as latest,
           array(select concat_ws(' ', l.run_id, l.rel, t.table_name, l.other_run_id)
                   from metadata.link l left join metadata.target t using (target_no) order by 1) as links,
           array(select tenant || ' ' || code || ' ' || state from metadata.reject order by 1) as rejects,
           (select count(*) from metadata.outbox) as outbox`
  const [state] = await db.query<MetadataState>({ name: 'test metadata state', text })
  return state as MetadataState
}
