import { type Instant, systemNow } from '../../instant.ts'
import { encodePathPart } from '../../path-part.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { MetadataEnvironment } from '../model/record.ts'
import { checkSeries, normalFilter, normalSeries } from '../model/record-filter.ts'
import {
  type LatestRecord,
  type MetadataRepository,
  QueryError,
  type RecordFilter,
  type Series,
  type StoreResult,
} from '../model/repository.ts'
import { storeChecked } from '../model/store-checked.ts'
import { aggregatePage } from './aggregate.ts'
import type { EmbeddedFiles } from './files.ts'
import type { JournalLimits } from './journal.ts'
import { type EntryPage, historyPage, queryPage } from './pages.ts'
import { openStore } from './store.ts'

export type EmbeddedRepositoryOptions = {
  /** A folder or a container: `folderFiles`, `containerFiles`. */
  readonly store: EmbeddedFiles
  /** Its tenant is whose records are stored and seen. Each has a folder of its own, with a writer of its own. */
  readonly environment: MetadataEnvironment
  readonly kinds: KindBook
  readonly clock?: () => Instant
  readonly limits?: JournalLimits
}

export type EmbeddedRepository = MetadataRepository & {
  /** Writes the index, so that the next one opens at once, and lets the next writer in. */
  readonly close: () => Promise<void>
}

/**
 * Metadata records in files, without a server, for one process: `index.json`, `log/`, `records/` below the tenant's
 * name. Throws LeaseLostError where another process writes there, PermanentError where the files are damaged.
 *
 * Keys and what is filtered by are in memory, 680 bytes per record and half of it in `index.json`; what records say is
 * read from their files. 100,000 records are 70 MB. In a folder 450 to 520 records were stored in a second, each with
 * its file synced, on a machine with much else to do; for a million records there is PostgreSQL.
 */
export async function openEmbeddedRepository(options: EmbeddedRepositoryOptions): Promise<EmbeddedRepository> {
  const { store: files, environment, kinds, clock = systemNow, limits } = options
  await kinds.refresh()
  const store = await openStore({ files: filesBelow(files, encodePathPart(environment.tenant)), kinds, limits })
  const { index } = store

  const bulkStore = (records: readonly unknown[]): Promise<readonly StoreResult[]> => {
    const now = clock()
    return storeChecked(records, { kinds, environment, now }, (good) => store.write(good, now))
  }
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
  const latestOfMany = async (asked: readonly Series[]): Promise<readonly (LatestRecord | null)[]> => {
    // Taken together: while files are read, others may become the latest.
    const found = asked.map((one) => {
      const series = index.series(normalSeries(one))
      return series?.latest ? { entry: series.latest, changeNo: series.changeNo } : null
    })
    const records = (await store.read(found.flatMap((one) => one?.entry ?? []))).values()
    return found.map((one) => {
      const record = one === null ? undefined : records.next().value
      return one === null || record === undefined ? null : { record, changeNo: one.changeNo }
    })
  }
  const recordsOf = async ({ entries, next }: EntryPage) => ({ records: await store.read(entries), next })

  return {
    bulkStore,
    store: async (record) => (await bulkStore([record]))[0] as StoreResult,
    latest: async (series) => (await latestOfMany([series]))[0] ?? null,
    latestOfMany: async (series) => latestOfMany(checkSeries(series)),
    history: async (asked, page = {}) => recordsOf(historyPage(index, normalSeries(asked), page)),
    async query(given, page = {}) {
      const { filter, json } = await filterOf(given)
      return recordsOf(queryPage(index, filter, json, page))
    },
    aggregate: async (asked, page) => aggregatePage(index, asked, page),
    close: store.close,
  }
}

function filesBelow(files: EmbeddedFiles, folder: string): EmbeddedFiles {
  const below = (path: string) => `${folder}/${path}`
  return {
    place: `${files.place}/${folder}`,
    lock: (path) => files.lock(below(path)),
    append: (path, body, position) => files.append(below(path), body, position),
    cut: (path, bytes) => files.cut(below(path), bytes),
    create: (path, body) => files.create(below(path), body),
    replace: (path, body) => files.replace(below(path), body),
    read: (path, from) => files.read(below(path), from),
    async list(path) {
      const found = await files.list(below(path))
      return found.map(({ path: name, bytes }) => ({ path: name.slice(folder.length + 1), bytes }))
    },
  }
}
