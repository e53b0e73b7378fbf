import type { Instant } from '../../instant.ts'
import type { JsonObject } from '../model/json-input.ts'
import type { FieldError } from '../model/problem.ts'
import type { KindBehaviour } from './behaviour.ts'
import type { Difference } from './compare.ts'

/** draft: may be changed, may not be written · published: for ever as it is · deprecated: until its sunset */
export type KindVersionState = 'draft' | 'published' | 'deprecated'

/** One version of a kind, as it is shown. */
export type KindVersion = {
  readonly kind: string
  /** `major.minor` */
  readonly version: string
  readonly state: KindVersionState
  /** Comes with the platform: nobody else registers versions of it. */
  readonly builtIn: boolean
  /** Of the payload: JSON Schema 2020-12. Closed for writers, whether it says so or not; readers take it for open. */
  readonly schema: JsonObject
  readonly behaviour: KindBehaviour
  readonly createdBy: string | null
  readonly publishedAt: Instant | null
  /** From then on it may be read only; null: it may be written for ever. */
  readonly sunsetAt: Instant | null
}

export type KindSummary = {
  readonly kind: string
  readonly builtIn: boolean
  /** Oldest first. */
  readonly versions: readonly Pick<KindVersion, 'version' | 'state' | 'sunsetAt'>[]
}

/** What somebody wants to register; checked whatever it is. */
export type NewKindVersion = {
  readonly kind: string
  readonly version: string
  readonly schema: unknown
  /** Absent: no outcomes, rollups and facets; 90 days. */
  readonly behaviour?: unknown
  /** Absent: published. */
  readonly state?: 'draft' | 'published' | undefined
}

/** A difference, and the version that the new one differs from. */
export type VersionDifference = Difference & { readonly against: string }

/** They become the problem types of the HTTP service, with these statuses. */
export const REGISTRY_STATUS = {
  'schema-invalid': 422,
  'schema-incompatible': 409,
  'schema-immutable': 409,
  'kind-reserved': 409,
  'unknown-kind': 404,
  'unknown-kind-version': 404,
} as const

export type RegistryProblem = {
  readonly code: keyof typeof REGISTRY_STATUS
  /** One sentence: what was expected and what came. */
  readonly detail: string
  /** Pointers into what was to be registered. */
  readonly errors: readonly FieldError[]
  /** Of an incompatible schema: all of them, with their verdicts. */
  readonly differences: readonly VersionDifference[]
}

export type RegistryRefused = { readonly ok: false; readonly problem: RegistryProblem }
export type RegistryResult<Value> = { readonly ok: true; readonly value: Value } | RegistryRefused

export type Registration = {
  /** False only of a dry run: it would be refused as `schema-incompatible`. */
  readonly accepted: boolean
  /** Why not; null where it is accepted. */
  readonly detail: string | null
  /** From the version before it. Of one that is not accepted, also those from other versions that stand against it. */
  readonly differences: readonly VersionDifference[]
  /** Null in a dry run. */
  readonly version: KindVersion | null
  /** False: it was there already, the same. */
  readonly created: boolean
}
