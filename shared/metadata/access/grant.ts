import { sample } from '../../json.ts'
import { readJson } from '../model/json-input.ts'
import { AccessError } from './access-error.ts'
import { type Caller, grantableBy, PERMISSIONS, parsePermission } from './caller.ts'

/** What a token or principal is given. */
export type Grant = { readonly permissions: readonly string[]; readonly producers: readonly string[] }

const GRANTED_MAX = 100
const CHARS_MAX = 256
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** Each once, in order. Throws AccessError. */
export function checkPermissions(permissions: readonly string[]): readonly string[] {
  const wrong = permissions.find((text) => parsePermission(text) === undefined)
  if (wrong !== undefined) {
    const expected = `${PERMISSIONS.join(', ')}, records:write:<kind> or records:write:*`
    throw invalid(`permission: expected one of ${expected}, got "${sample(wrong, 80)}"`)
  }
  if (permissions.length === 0) throw invalid('permissions: expected at least one, got none')
  return eachOnce('permissions', permissions)
}

/** Each once, in order. Throws AccessError. */
export function checkProducers(producers: readonly string[]): readonly string[] {
  const wrong = producers.find(
    (text) => text.length === 0 || text.length > CHARS_MAX || CONTROL.test(text) || !readJson(text).ok,
  )
  if (wrong !== undefined) {
    throw invalid(
      `producer: expected 1 to ${CHARS_MAX} characters without control characters, got "${sample(wrong, 80)}"`,
    )
  }
  return eachOnce('producers', producers)
}

/** `caller` undefined: the operator of the deployment, on the command line. Throws AccessError. */
export function checkGrantable(caller: Pick<Caller, 'permissions' | 'producers'> | undefined, grant: Grant): void {
  if (caller === undefined) return
  const missing = grantableBy(caller, grant.permissions, grant.producers)
  if (missing.length === 0) return
  throw new AccessError('permission-missing', `grant: expected what the caller has, got ${missing.join(', ')}`, missing)
}

function eachOnce(what: string, texts: readonly string[]): readonly string[] {
  const distinct = [...new Set(texts)].sort()
  if (distinct.length <= GRANTED_MAX) return distinct
  throw invalid(`${what}: expected at most ${GRANTED_MAX}, got ${distinct.length}`)
}

function invalid(message: string): AccessError {
  return new AccessError('invalid-request', message)
}
