import { PermanentError } from '../../errors.ts'
import type { JsonObject } from '../model/json-input.ts'
import type { BuiltInKind } from '../model/kind.ts'
import { payloadSchema } from '../model/kinds.ts'
import { type KindBehaviour, kindBehaviour } from './behaviour.ts'
import type { PublishedVersion } from './judge.ts'
import type { KindVersionListed, KindVersionRow } from './kind-statements.ts'
import type { KindSummary, KindVersion } from './kind-version.ts'
import { readSchema } from './schema.ts'
import { formatVersion } from './version-number.ts'

export function behaviourOf(row: KindVersionListed): KindBehaviour {
  const parsed = kindBehaviour.safeParse(row.behaviour)
  if (parsed.success) return parsed.data
  throw new PermanentError(`${nameOf(row)}: expected a stored behaviour, got ${parsed.error.message}`)
}

/** As it is shown. */
export function versionOf(row: KindVersionRow): KindVersion {
  const { kind, state, createdBy, publishedAt, sunsetAt } = row
  const schema = storedSchema(row).json
  return {
    kind,
    version: formatVersion(row),
    state,
    builtIn: false,
    schema,
    behaviour: behaviourOf(row),
    createdBy,
    publishedAt,
    sunsetAt,
  }
}

/** As others are judged by it; null: a draft, by which nobody is. */
export function publishedOf(row: KindVersionRow): PublishedVersion | null {
  const { major, minor, publishedAt } = row
  if (publishedAt === null) return null
  return { major, minor, publishedAt, schema: storedSchema(row).root, behaviour: behaviourOf(row) }
}

export function storedSchema(row: Pick<KindVersionRow, 'kind' | 'major' | 'minor' | 'schema'>) {
  const read = readSchema(row.schema)
  if (read.ok) return read
  const [error] = read.errors
  throw new PermanentError(`${nameOf(row)}: expected a stored schema, got ${error?.detail} at ${error?.pointer}`)
}

/** One schema for all versions: those of the platform grow with its code. */
export function builtInVersions(kind: BuiltInKind): readonly KindVersion[] {
  const schema: JsonObject = payloadSchema(kind)
  const { outcomes, hotDays, rollups, facets } = kind
  const behaviour = { outcomes: outcomes && [...outcomes], hotDays, rollups: [...rollups], facets: [...facets] }
  return kind.versions.map((version) => ({
    kind: kind.kind,
    version,
    state: 'published',
    builtIn: true,
    schema,
    behaviour,
    createdBy: null,
    publishedAt: null,
    sunsetAt: null,
  }))
}

export function builtInSummary({ kind, versions }: BuiltInKind): KindSummary {
  return {
    kind,
    builtIn: true,
    versions: versions.map((version) => ({ version, state: 'published', sunsetAt: null })),
  }
}

/** Rows come by kind and version. */
export function summariesOf(rows: readonly KindVersionListed[]): readonly KindSummary[] {
  const byKind = new Map<string, KindSummary['versions'][number][]>()
  for (const row of rows) {
    const versions = byKind.get(row.kind) ?? []
    versions.push({ version: formatVersion(row), state: row.state, sunsetAt: row.sunsetAt })
    byKind.set(row.kind, versions)
  }
  return [...byKind].map(([kind, versions]) => ({ kind, builtIn: false, versions }))
}

function nameOf({ kind, major, minor }: Pick<KindVersionListed, 'kind' | 'major' | 'minor'>): string {
  return `kind ${kind} ${major}.${minor}`
}
