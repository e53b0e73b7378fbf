import { z } from 'zod'
import { sample } from '../../json.ts'
import { type Caller, may, mayProduce, mayWrite } from '../access/caller.ts'
import { KIND_NAME } from '../model/record.ts'
import { isOverride } from './guard-override.ts'
import { ServiceError } from './problems.ts'

const WRITES = 'records:write:'

// Only what the permission hangs on. What is not even this much is refused by the store, in full.
const named = z.looseObject({
  kind: z.string().regex(KIND_NAME),
  producerId: z.string().catch(''),
  scope: z.string().catch(''),
})

/** Throws ServiceError where the token can write no kind at all: nobody needs to read what it sends. */
export function checkWriter({ permissions }: Caller): void {
  if (permissions.some((permission) => permission.startsWith(WRITES))) return
  throw missing(`${WRITES}<kind>`)
}

/** Null where the token may write it. */
export function accessProblem(caller: Caller, record: unknown): ServiceError | null {
  const parsed = named.safeParse(record)
  if (!parsed.success) return null
  const { kind, producerId } = parsed.data
  if (!mayWrite(caller, kind)) return missing(`${WRITES}${kind}`)
  // Whoever may only write facts lets nothing pass a guard.
  if (isOverride(parsed.data) && !may(caller, 'guards:override')) return missing('guards:override')
  if (producerId === '' || mayProduce(caller, producerId)) return null
  const detail = `producerId: expected one that the token lists, got ${sample(producerId, 40)}`
  return new ServiceError('producer-not-allowed', detail)
}

export function missing(permission: string): ServiceError {
  const detail = `token: expected the permission ${permission}, got one without it`
  return new ServiceError('permission-missing', { detail, missing: permission })
}
