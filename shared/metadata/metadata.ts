import type { StorageAccount } from '../azure/storage-account.ts'
import type { MetadataPlace, MetadataSettings } from '../config/metadata-settings.ts'
import type { IoHook } from '../io-hook.ts'
import type { Log } from '../log/log.ts'
import type { Database } from '../postgres/database.ts'
import type { FeedConsumer } from './feed/consumer.ts'
import { openFollowers } from './followers.ts'
import { fixedKinds, type KindBook } from './model/kind-book.ts'
import { KINDS } from './model/kinds.ts'
import type { MetadataEnvironment } from './model/record.ts'
import type { MetadataRepository } from './model/repository.ts'
import { openRepositoryElsewhere } from './open-repository.ts'
import type { DispatchBatch } from './outbox/dispatch.ts'
import { dispatchElsewhere } from './outbox/dispatch-elsewhere.ts'
import { dispatchHere } from './outbox/dispatch-here.ts'
import { openMetadataDatabase } from './postgres/metadata-database.ts'
import { createNameBook } from './postgres/names.ts'
import { openPostgresRepository } from './postgres/repository.ts'
import { type KindRegistry, kindBook, openKindRegistry } from './registry/registry.ts'

/** Where this process keeps metadata records, as the settings say. Nothing connects before it is first used. */
export type Metadata = {
  readonly settings: MetadataSettings
  readonly environment: MetadataEnvironment
  readonly kinds: KindBook
  /** What stands around the records in PostgreSQL; null where another repository keeps them. */
  readonly store: MetadataStore | null
  /** Of this deployment's tenant, unless another is named. */
  readonly repository: (tenant?: string) => Promise<MetadataRepository>
  /** Moves the outbox of the ingests' database into the repository. */
  readonly dispatcher: (log: Log) => DispatchBatch
  readonly close: () => Promise<void>
}

export type MetadataStore = {
  readonly db: Database
  readonly registry: KindRegistry
  readonly followers: readonly FeedConsumer[]
}

export type MetadataOptions = {
  readonly settings: MetadataSettings
  /** The ingests' database, with the outbox. */
  readonly own: Database
  readonly lakeStorage: StorageAccount
  readonly hook: IoHook
  /** Of the process, not of an invocation. */
  readonly log: Log
}

export function openMetadata(options: MetadataOptions): Metadata {
  const { place } = options.settings
  return place.kind === 'postgres' ? inPostgres(options, place) : elsewhere(options, place)
}

function inPostgres(
  { settings, own, lakeStorage, hook, log }: MetadataOptions,
  place: MetadataPlace & { kind: 'postgres' },
): Metadata {
  const environment = environmentOf(settings)
  const { db, elsewhere, close } = openMetadataDatabase(place.database, own, hook)
  const registry = openKindRegistry({ db, builtin: KINDS })
  const kinds = kindBook(registry)
  const names = createNameBook()
  const repository = async (tenant = settings.tenant) =>
    openPostgresRepository({ store: { db, names, kinds }, environment: { ...environment, tenant } })
  return {
    settings,
    environment,
    kinds,
    store: {
      db,
      registry,
      followers: openFollowers({ account: lakeStorage, kinds, openLineage: settings.openLineage, hook, log }),
    },
    repository,
    dispatcher: (log) => {
      const source = { db: own, kinds, environment, log }
      return elsewhere ? dispatchElsewhere(source, repository) : dispatchHere(source, names)
    },
    close,
  }
}

function elsewhere(
  { settings, own, lakeStorage, hook }: MetadataOptions,
  place: Exclude<MetadataPlace, { kind: 'postgres' }>,
): Metadata {
  const environment = environmentOf(settings)
  const kinds = fixedKinds(KINDS)
  const opened = new Map<string, ReturnType<typeof openRepositoryElsewhere>>()
  const open = (tenant: string) => {
    const known =
      opened.get(tenant) ?? openRepositoryElsewhere(place, { ...environment, tenant }, kinds, lakeStorage, hook)
    opened.set(tenant, known)
    // Who asks again may be luckier: another writer may have gone.
    known.catch(() => opened.delete(tenant))
    return known
  }
  const repository = async (tenant = settings.tenant) => (await open(tenant)).repository
  return {
    settings,
    environment,
    kinds,
    store: null,
    repository,
    dispatcher: (log) => dispatchElsewhere({ db: own, kinds, environment, log }, repository),
    async close() {
      for (const known of opened.values()) await (await known).close()
    },
  }
}

function environmentOf({ tenant, cluster, workspace }: MetadataSettings): MetadataEnvironment {
  return { tenant, ...(cluster && { cluster }), ...(workspace && { workspace }) }
}
