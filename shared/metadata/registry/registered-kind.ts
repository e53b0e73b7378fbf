import type { Instant } from '../../instant.ts'
import { declaredErrors, type MetadataKind } from '../model/kind.ts'
import { joinedBehaviour, type KindBehaviour } from './behaviour.ts'
import { schemaErrors } from './interpret.ts'
import type { SchemaNode } from './schema-node.ts'
import { byVersion, formatVersion, type VersionNumber } from './version-number.ts'

/** One that is published, deprecated or not. */
export type LoadedVersion = VersionNumber & {
  readonly kind: string
  readonly schema: SchemaNode
  readonly behaviour: KindBehaviour
  readonly sunsetAt: Instant | null
}

/** A kind as the platform works with it, of all its versions that are published. What may be written depends on when. */
export function registeredKind(kind: string, loaded: readonly LoadedVersion[], now: Instant): MetadataKind {
  const versions = [...loaded].sort(byVersion)
  const byName = new Map(versions.map((one) => [formatVersion(one), one]))
  const writable = versions.filter(({ sunsetAt }) => sunsetAt === null || sunsetAt > now)
  return {
    ...joinedBehaviour(versions.map(({ behaviour }) => behaviour)),
    kind,
    versions: writable.map(formatVersion),
    check(said, version) {
      const one = byName.get(version)
      if (one === undefined) throw new Error(`kind ${kind}: expected a version that is published, got ${version}`)
      // Of its own version: what a later one declares does not refuse older writers.
      const { outcomes, facets } = one.behaviour
      return [
        ...declaredErrors(said, { kind, outcomes, facets }),
        ...schemaErrors(said.payload, one.schema, ['payload']),
      ]
    },
  }
}
