import type { Instant } from '../../instant.ts'
import { compareBehaviour, type KindBehaviour } from './behaviour.ts'
import { compareSchemas, type Difference, namesOf, VERDICTS } from './compare.ts'
import type { VersionDifference } from './kind-version.ts'
import type { SchemaNode } from './schema-node.ts'
import { byVersion, formatVersion, type VersionNumber } from './version-number.ts'

/** What a version says, of the payload and of the platform. */
export type JudgedVersion = VersionNumber & { readonly schema: SchemaNode; readonly behaviour: KindBehaviour }
export type PublishedVersion = JudgedVersion & { readonly publishedAt: Instant }

export type Judgement = {
  /** Why it can not be published; null: it can. */
  readonly refusal: string | null
  /** From the version before it, and all from other versions that stand against it. */
  readonly differences: readonly VersionDifference[]
}

const TOLD_MAX = 3

/**
 * Whether a version may follow those that are published. A minor version differs from all others of its major version
 * by what nobody notices. A name has the type that it has in any version, and is not used again once a major version
 * left it out: new code reads old records.
 */
export function judgeVersion(published: readonly PublishedVersion[], candidate: JudgedVersion): Judgement {
  const next = nextVersions(published)
  const version = formatVersion(candidate)
  if (!next.includes(version)) {
    return { refusal: `expected version ${next.join(' or ')}, got ${version}`, differences: [] }
  }
  const before = published
    .filter((one) => byVersion(one, candidate) < 0)
    .sort(byVersion)
    .at(-1)
  const differences: VersionDifference[] = []
  const standing = reservedNames(published, candidate)
  differences.push(...standing)
  for (const one of published) {
    for (const found of differencesFrom(one, candidate)) {
      const difference = { ...found, against: formatVersion(one) }
      const stands = found.verdict === 'never' || (found.verdict === 'major' && one.major === candidate.major)
      if (stands) standing.push(difference)
      if (stands || one === before) differences.push(difference)
    }
  }
  return { refusal: refusalOf(version, standing), differences }
}

/** Without gaps: what comes after a version was checked against it. */
function nextVersions(published: readonly PublishedVersion[]): readonly string[] {
  const newest = new Map<number, number>()
  for (const { major, minor } of published) newest.set(major, Math.max(newest.get(major) ?? 0, minor))
  const minors = [...newest].sort(([a], [b]) => a - b).map(([major, minor]) => ({ major, minor: minor + 1 }))
  return [...minors, { major: Math.max(0, ...newest.keys()) + 1, minor: 0 }].map(formatVersion)
}

function differencesFrom(older: JudgedVersion, newer: JudgedVersion): readonly Difference[] {
  const schemas = compareSchemas(older.schema, newer.schema, ['schema'])
  // What a later major version does, an earlier one need not.
  if (older.major > newer.major) return schemas
  return [...schemas, ...compareBehaviour(older.behaviour, newer.behaviour, ['behaviour'])]
}

/** Names are left out where a major version begins, and by no minor one. */
function reservedNames(published: readonly PublishedVersion[], candidate: JudgedVersion): VersionDifference[] {
  const earlier = published
    .filter(({ major }) => major <= candidate.major)
    .map((one) => ({ ...one, names: namesOf(one.schema, ['schema']) }))
  return [...namesOf(candidate.schema, ['schema'])].flatMap((pointer): VersionDifference[] => {
    const had = earlier.find(
      (one) =>
        one.names.has(pointer) &&
        earlier.some(
          (other) =>
            other.major > one.major &&
            other.minor === 0 &&
            other.publishedAt > one.publishedAt &&
            !other.names.has(pointer),
        ),
    )
    if (had === undefined) return []
    return [{ pointer, change: 'reserved-name', verdict: VERDICTS['reserved-name'], against: formatVersion(had) }]
  })
}

function refusalOf(version: string, standing: readonly VersionDifference[]): string | null {
  if (standing.length === 0) return null
  const told = standing.slice(0, TOLD_MAX).map(({ pointer, change, against }) => `${change} at ${pointer} (${against})`)
  const more = standing.length > TOLD_MAX ? ` and ${standing.length - TOLD_MAX} more` : ''
  const needs = standing.some(({ verdict }) => verdict === 'never') ? 'other names' : 'another major version'
  return `version ${version}: expected what earlier versions allow, got ${told.join(', ')}${more}: it needs ${needs}`
}
