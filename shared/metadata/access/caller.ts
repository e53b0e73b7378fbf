import { KIND_NAME } from '../model/record.ts'

/** What a caller may do. Besides these there is `records:write:<kind>`, and `records:write:*` for every kind. */
export const PERMISSIONS = [
  'records:read',
  'feed:read',
  'kinds:write',
  'guards:check',
  'guards:override',
  'tokens:admin',
] as const

export type Permission = (typeof PERMISSIONS)[number] | `records:write:${string}`

const WRITE = 'records:write:'
const EVERY = '*'

/** The platform's own. Nobody has them over HTTP who does not list them by name. */
export const BUILT_IN_PRODUCERS: readonly string[] = [
  'ingestion.v1',
  'recon.v1',
  'catalog.v1',
  'orchestrator.v1',
  'import.v1',
]

/** Who asks, as the token says and nothing else does. */
export type Caller = {
  readonly tenant: string
  /** Of audit rows. */
  readonly subject: string
  /** Null: an Entra identity. */
  readonly tokenId: string | null
  readonly permissions: readonly string[]
  /** Producer ids that it may write as; `*` for all but the built-in ones. None: it writes nothing. */
  readonly producers: readonly string[]
}

/** Undefined for what is no permission. */
export function parsePermission(text: string): Permission | undefined {
  const fixed = PERMISSIONS.find((permission) => permission === text)
  if (fixed !== undefined) return fixed
  if (!text.startsWith(WRITE)) return undefined
  const kind = text.slice(WRITE.length)
  return kind === EVERY || KIND_NAME.test(kind) ? `${WRITE}${kind}` : undefined
}

export function mayWrite(caller: Pick<Caller, 'permissions'>, kind: string): boolean {
  return may(caller, `${WRITE}${kind}`)
}

/** Also of `records:write:<kind>`, which `records:write:*` contains. */
export function may({ permissions }: Pick<Caller, 'permissions'>, permission: Permission): boolean {
  return permissions.includes(permission) || (permission.startsWith(WRITE) && permissions.includes(`${WRITE}${EVERY}`))
}

/** Else any writer could move `latest` of another team's fact. */
export function mayProduce({ producers }: Pick<Caller, 'producers'>, producerId: string): boolean {
  return producers.includes(producerId) || (producers.includes(EVERY) && !BUILT_IN_PRODUCERS.includes(producerId))
}

/**
 * What the caller lacks of what it would grant: none grants what it lacks. Permissions as they are, producers as
 * `producer <id>`.
 */
export function grantableBy(
  caller: Pick<Caller, 'permissions' | 'producers'>,
  permissions: readonly string[],
  producers: readonly string[],
): readonly string[] {
  const lacked = permissions.filter((text) => {
    const permission = parsePermission(text)
    return permission === undefined || !may(caller, permission)
  })
  const foreign = producers.filter((producerId) => !mayProduce(caller, producerId))
  return [...lacked, ...foreign.map((producerId) => `producer ${producerId}`)]
}
