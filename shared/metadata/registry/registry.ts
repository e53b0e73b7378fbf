import { type Instant, MICROS_PER_SECOND, systemNow } from '../../instant.ts'
import type { Database } from '../../postgres/database.ts'
import type { MetadataKind } from '../model/kind.ts'
import type { KindBook } from '../model/kind-book.ts'
import type { BuiltInKinds, MetadataKinds } from '../model/kinds.ts'
import { builtInSummary, builtInVersions, summariesOf, versionOf } from './kind-rows.ts'
import {
  DEPRECATE_KIND_VERSION,
  KIND_VERSIONS,
  type KindVersionListed,
  type KindVersionRow,
  LIST_KIND_VERSIONS,
} from './kind-statements.ts'
import type { KindSummary, KindVersion, NewKindVersion, Registration, RegistryResult } from './kind-version.ts'
import { createLoader } from './load-versions.ts'
import { publishKind, type RegisterOptions, registerKind } from './register.ts'
import { type LoadedVersion, registeredKind } from './registered-kind.ts'
import { invalid, refused, reserved, unknownKind, unknownVersion } from './registry-problem.ts'
import { parseVersion } from './version-number.ts'

/** Kinds of records, for the whole deployment: those of the platform, and those that others registered. */
export type KindRegistry = {
  /** Those of the platform first, then by name. */
  readonly kinds: () => Promise<readonly KindSummary[]>
  /** Oldest first. */
  readonly versions: (kind: string) => Promise<RegistryResult<readonly KindVersion[]>>
  readonly version: (kind: string, version: string) => Promise<RegistryResult<KindVersion>>
  /** Immutable once it is published: the same again is no error, another is one. A dry run writes nothing. */
  readonly register: (input: NewKindVersion, options: RegisterOptions) => Promise<RegistryResult<Registration>>
  readonly publish: (kind: string, version: string) => Promise<RegistryResult<KindVersion>>
  /** It may be written until its sunset, and read for ever. The sunset may be moved. */
  readonly deprecate: (kind: string, version: string, sunsetAt: Instant) => Promise<RegistryResult<KindVersion>>
  /** What may be written as, or was: for a book of kinds. */
  readonly published: () => Promise<readonly LoadedVersion[]>
  /** How often something was changed through this registry: who hears of it need not wait to ask again. */
  readonly changes: () => number
  readonly builtin: BuiltInKinds
  readonly clock: () => Instant
}

export type KindRegistryOptions = {
  /** Of the metadata. */
  readonly db: Database
  readonly builtin: BuiltInKinds
  readonly clock?: () => Instant
}

export function openKindRegistry({ db, builtin, clock = systemNow }: KindRegistryOptions): KindRegistry {
  const versions = async (kind: string): Promise<RegistryResult<readonly KindVersion[]>> => {
    const own = builtin.get(kind)
    if (own !== undefined) return { ok: true, value: builtInVersions(own) }
    const rows = await db.query<KindVersionRow>(KIND_VERSIONS, [kind])
    return rows.length === 0 ? unknownKind(kind) : { ok: true, value: rows.map(versionOf) }
  }

  const version = async (kind: string, name: string): Promise<RegistryResult<KindVersion>> => {
    const all = await versions(kind)
    if (!all.ok) return all
    const found = all.value.find((one) => one.version === name)
    return found === undefined ? unknownVersion(kind, name) : { ok: true, value: found }
  }

  const deprecate = async (kind: string, name: string, sunsetAt: Instant): Promise<RegistryResult<KindVersion>> => {
    const found = await version(kind, name)
    if (!found.ok) return found
    if (found.value.state === 'draft') {
      return refused('unknown-kind-version', `kind ${kind}: expected a version that is published, got ${name}, a draft`)
    }
    if (sunsetAt <= clock()) {
      return invalid([{ pointer: '/sunsetAt', code: 'sunset', detail: 'expected an instant to come, got a past one' }])
    }
    const number = parseVersion(name)
    const values = [kind, number?.major, number?.minor, sunsetAt]
    const [row] = await db.query<KindVersionRow>(DEPRECATE_KIND_VERSION, values)
    return row === undefined ? unknownVersion(kind, name) : { ok: true, value: versionOf(row) }
  }

  let changes = 0
  const changing = async <Value>(kind: string, change: () => Promise<RegistryResult<Value>>) => {
    if (builtin.has(kind)) return reserved(kind)
    const result = await change()
    if (result.ok) changes++
    return result
  }

  return {
    builtin,
    clock,
    changes: () => changes,
    versions,
    version,
    async kinds() {
      const rows = await db.query<KindVersionListed>(LIST_KIND_VERSIONS)
      return [...[...builtin.values()].map(builtInSummary), ...summariesOf(rows)]
    },
    async register(input, options) {
      return options.dryRun && !builtin.has(input.kind)
        ? registerKind(db, input, options)
        : changing(input.kind, () => registerKind(db, input, options))
    },
    publish: (kind, name) => changing(kind, () => publishKind(db, kind, name)),
    deprecate: (kind, name, sunsetAt) => changing(kind, () => deprecate(kind, name, sunsetAt)),
    published: createLoader(db),
  }
}

/** A producer that names what nobody registered asks no more often than this. */
const RELOAD_PAUSE = 5n * MICROS_PER_SECOND
/** A sunset is heard of within it. */
const REFRESH_AFTER = 60n * MICROS_PER_SECOND

/**
 * What is registered, as this process knows it. Kinds of the platform are known without the registry, and are written
 * while it does not answer.
 */
export function kindBook(registry: KindRegistry): KindBook {
  const { builtin, clock } = registry
  let loaded: readonly LoadedVersion[] = []
  let asked: { readonly at: Instant; readonly changes: number } | null = null
  let asking: Promise<void> | null = null
  let book: { readonly kinds: MetadataKinds; readonly until: Instant | null } | null = null

  const ask = async () => {
    const began = { at: clock(), changes: registry.changes() }
    loaded = await registry.published()
    asked = began
    book = null
  }
  const askAfter = async (pause: bigint) => {
    const isFresh = asked !== null && asked.changes === registry.changes() && clock() - asked.at < pause
    if (asking === null && isFresh) return
    asking ??= ask().finally(() => {
      asking = null
    })
    await asking
  }

  return {
    known() {
      const now = clock()
      if (book === null || (book.until !== null && now >= book.until)) book = bookOf(builtin, loaded, now)
      return book.kinds
    },
    reload: () => askAfter(RELOAD_PAUSE),
    // Who heard of no sunset writes on: a registry that does not answer stops nobody who does not need it.
    refresh: () => askAfter(REFRESH_AFTER).catch(() => undefined),
  }
}

/** Good until the next sunset. */
function bookOf(builtin: MetadataKinds, loaded: readonly LoadedVersion[], now: Instant) {
  const kinds = new Map<string, MetadataKind>(builtin)
  const names = new Set(loaded.map(({ kind }) => kind))
  for (const kind of names) {
    // A kind that the platform has taken since is the platform's.
    if (builtin.has(kind)) continue
    const versions = loaded.filter((one) => one.kind === kind)
    kinds.set(kind, registeredKind(kind, versions, now))
  }
  const sunsets = loaded.flatMap(({ sunsetAt }) => (sunsetAt !== null && sunsetAt > now ? [sunsetAt] : []))
  const until = sunsets.reduce<Instant | null>((first, one) => (first === null || one < first ? one : first), null)
  return { kinds, until }
}
