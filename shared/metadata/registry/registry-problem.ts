import type { FieldError } from '../model/problem.ts'
import type { RegistryProblem, RegistryRefused, VersionDifference } from './kind-version.ts'

export function refused(
  code: RegistryProblem['code'],
  detail: string,
  { errors = [], differences = [] }: Partial<Pick<RegistryProblem, 'errors' | 'differences'>> = {},
): RegistryRefused {
  return { ok: false, problem: { code, detail, errors, differences } }
}

export function invalid(errors: readonly FieldError[]): RegistryRefused {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return refused('schema-invalid', `kind version${first?.pointer}: ${first?.detail}${more}`, { errors })
}

export function incompatible(
  kind: string,
  refusal: string,
  differences: readonly VersionDifference[],
): RegistryRefused {
  return refused('schema-incompatible', `kind ${kind}, ${refusal}`, { differences })
}

export function reserved(kind: string): RegistryRefused {
  return refused('kind-reserved', `kind ${kind}: expected another name than those of the platform`)
}

export function unknownKind(kind: string): RegistryRefused {
  return refused('unknown-kind', `kind: expected one that is registered, got ${kind}`)
}

export function unknownVersion(kind: string, version: string): RegistryRefused {
  return refused('unknown-kind-version', `kind ${kind}: expected a version that is registered, got ${version}`)
}
