import { afterAll, beforeAll } from 'vitest'
import { type BlobContainer, openContainer } from '../../shared/azure/blobs.ts'
import { parseStorageAccount } from '../../shared/config/storage-setting.ts'
import { type IoHook, withoutHook } from '../../shared/io-hook.ts'
import { createLog, type LogFields } from '../../shared/log/log.ts'
import { type FedRecord, type FeedPosition, readFeed } from '../../shared/metadata/feed/feed.ts'
import { fixedKinds } from '../../shared/metadata/model/kind-book.ts'
import { KINDS } from '../../shared/metadata/model/kinds.ts'
import type { MetadataRecord, NewMetadataRecord } from '../../shared/metadata/model/record.ts'
import type { MetadataRepository } from '../../shared/metadata/model/repository.ts'
import { createNameBook } from '../../shared/metadata/postgres/names.ts'
import { openPostgresRepository } from '../../shared/metadata/postgres/repository.ts'
import { type CompactOptions, compactMetadata } from '../../shared/metadata/retention/compact.ts'
import { type RecordSelection, readAllRecords } from '../../shared/metadata/retention/history-reader.ts'
import { rollupConsumer } from '../../shared/metadata/rollup/consumer.ts'
import { type Database, openDatabase } from '../../shared/postgres/database.ts'
import { sha256Hex } from '../../shared/sha256.ts'
import { useTestEnvironment } from '../support/environment.ts'

export const EVER = { from: '2000-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' }

export type Places = { readonly db: Database; readonly files: BlobContainer; readonly close: () => Promise<void> }

export type RetentionBench = {
  readonly db: Database
  readonly files: BlobContainer
  readonly logged: LogFields[]
  readonly ours: MetadataRepository
  readonly theirs: MetadataRepository
  readonly open: (hook: IoHook) => Places
  /** Stores records as if the database had done so so many days ago; ids are given in the order of the records. */
  readonly store: (daysAgo: number, records: readonly NewMetadataRecord[], tenant?: string) => Promise<string[]>
  readonly compact: (options?: Partial<CompactOptions>) => ReturnType<typeof compactMetadata>
  readonly readAll: (selection?: Partial<RecordSelection>) => Promise<readonly MetadataRecord[]>
  readonly rollUp: (records?: readonly FedRecord[]) => Promise<void>
  readonly feed: () => Promise<readonly FedRecord[]>
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Path and hash of every blob. */
  readonly blobs: () => Promise<Readonly<Record<string, string>>>
  readonly clear: () => Promise<void>
}

/** Call it at the top of a test file's describe: records of two tenants, in a table and in files. */
export function useRetention(): RetentionBench {
  const environment = useTestEnvironment()
  const logged: LogFields[] = []
  const log = createLog({ sink: (level, line) => logged.push({ level, ...line }), level: 'debug', secrets: [] })
  const open = (hook: IoHook): Places => {
    const connection = { kind: 'url' as const, url: environment.databaseUrl }
    const db = openDatabase({ connection, connectionsMax: 2, applicationName: 'test' }, hook)
    const problems: string[] = []
    const env = { AzureWebJobsStorage: environment.storageConnectionString }
    const account = parseStorageAccount(env, 'AzureWebJobsStorage', (problem) => problems.push(problem))
    if (account === undefined) throw new Error(problems.join('\n'))
    return { db, files: openContainer({ account, container: 'metadata', hook }), close: () => db.close() }
  }
  let places: Places | undefined
  beforeAll(async () => {
    places = open(withoutHook)
    await places.files.ensure()
  })
  afterAll(() => places?.close())
  const main = () => places as Places
  const kinds = fixedKinds(KINDS)
  const repository = (tenant: string) =>
    openPostgresRepository({
      store: { db: main().db, names: createNameBook(), kinds },
      environment: { workspace: 'test', tenant },
    })
  const query = <Row>(text: string, values?: readonly unknown[]) =>
    main().db.query<Row>({ name: `test ${sha256Hex(text).slice(0, 16)}`, text }, values)

  const bench: RetentionBench = {
    get db() {
      return main().db
    },
    get files() {
      return main().files
    },
    get ours() {
      return repository('ours')
    },
    get theirs() {
      return repository('theirs')
    },
    logged,
    open,
    async store(daysAgo, records, tenant = 'ours') {
      const results = await repository(tenant).bulkStore(records)
      const ids = results.map((result) => {
        if (result.outcome === 'stored') return result.recordId
        throw new Error(`record: expected it to be stored, got ${JSON.stringify(result)}`)
      })
      await query(
        `update metadata.record set stored_at = date_trunc('day', now()) + interval '1 hour' - make_interval(days => $1)
          where record_id = any($2::uuid[])`,
        [daysAgo, ids],
      )
      return ids
    },
    compact: (options) => compactMetadata({ ...main(), kinds: KINDS, log, ...options }),
    async readAll(selection) {
      const found: MetadataRecord[] = []
      const all = readAllRecords(main(), { tenant: 'ours', kind: 'ingestion_volume', ...EVER, ...selection })
      for await (const record of all) found.push(record)
      return found
    },
    async rollUp(records) {
      const { db, files } = main()
      const consumer = rollupConsumer({ files, kinds })
      const readAt = BigInt(Date.now()) * 1_000n
      await consumer.consume(records ?? (await bench.feed()), { db, readAt, signal: new AbortController().signal })
    },
    async feed() {
      const [stored] = await query<{ count: number }>('select count(*) from metadata.record')
      // A transaction of another test, in another database of the server, holds the feed back for a moment.
      for (;;) {
        const found: FedRecord[] = []
        for (let after: FeedPosition | null = null; ; ) {
          const { records, position } = await readFeed(main().db, { tenant: null, after, limit: 500 })
          found.push(...records)
          if (records.length === 0) break
          after = position
        }
        if (found.length === stored?.count) return found
      }
    },
    query,
    async blobs() {
      const found: Record<string, string> = {}
      for await (const { path } of main().files.list('')) {
        const blob = await main().files.get(path)
        if (blob !== null) found[path] = sha256Hex(blob.body)
      }
      return found
    },
    async clear() {
      logged.length = 0
      await query(`
        with a as (delete from metadata.record), b as (delete from metadata.record_key), c as (delete from metadata.latest),
             d as (delete from metadata.link), e as (delete from metadata.rollup), f as (delete from metadata.lease),
             g as (delete from metadata.compaction), h as (delete from metadata.compacted_file),
             i as (delete from metadata.consumer)
        select`)
      for await (const { path, etag } of main().files.list('')) await main().files.remove(path, etag)
    },
  }
  return bench
}
