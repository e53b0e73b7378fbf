import type { Instant } from '../../instant.ts'
import { recordAudit } from '../../ops/audit.ts'
import type { Database, Queryable, Statement } from '../../postgres/database.ts'
import { AccessError } from './access-error.ts'
import { checkProducers } from './grant.ts'
import { addTenant } from './tenant-row.ts'

/** Whose an Entra identity is, and what it may write as. What else it may do its app roles say. */
export type Principal = {
  readonly issuer: string
  /** `oid` of a user, an application or a managed identity. */
  readonly subject: string
  readonly tenant: string
  readonly producers: readonly string[]
}

export type PrincipalRow = Omit<Principal, 'tenant'> & { readonly createdAt: Instant }

const CHARS_MAX = 256
const LISTED_MAX = 1_000

const FIND: Statement = {
  name: 'find_metadata_principal',
  text: `
select n.tenant, p.producers
  from metadata.principal p
  join metadata.tenant n using (tenant_no)
 where p.issuer = $1::text and p.subject = $2::text`,
}

export type FoundPrincipal = Pick<Principal, 'tenant' | 'producers'>

export async function findPrincipal(db: Queryable, issuer: string, subject: string): Promise<FoundPrincipal | null> {
  const [principal] = await db.query<FoundPrincipal>(FIND, [issuer, subject])
  return principal ?? null
}

// An identity that is another tenant's is not moved: no row comes back.
const ADD: Statement = {
  name: 'add_metadata_principal',
  text: `
insert into metadata.principal as p (issuer, subject, tenant_no, producers)
select $1::text, $2::text, n.tenant_no, $4::text[] from metadata.tenant n where n.tenant = $3::text
on conflict (issuer, subject) do update set producers = excluded.producers where p.tenant_no = excluded.tenant_no
returning p.subject`,
}

/** Adds an identity to a tenant, or says anew what it may write as. Throws AccessError. */
export async function addPrincipal(db: Database, principal: Principal, by: string): Promise<void> {
  const { issuer, subject, tenant } = principal
  for (const [what, text] of Object.entries({ issuer, subject })) {
    if (/^[\u0021-\u007e]+$/.test(text) && text.length <= CHARS_MAX) continue
    throw new AccessError('invalid-request', `${what}: expected 1 to ${CHARS_MAX} printable characters, got others`)
  }
  const producers = checkProducers(principal.producers)
  await db.transaction(async (tx) => {
    await addTenant(tx, tenant)
    const added = await tx.query(ADD, [issuer, subject, tenant, producers])
    if (added.length === 0) {
      throw new AccessError(
        'principal-taken',
        `principal ${subject}: expected one of no other tenant, got one of another`,
      )
    }
    const after = { issuer, tenant, producers }
    await recordAudit(tx, { actor: by, action: 'add_metadata_principal', subject, after })
  })
}

const REMOVE: Statement = {
  name: 'remove_metadata_principal',
  text: `
delete from metadata.principal p
 using metadata.tenant n
 where n.tenant_no = p.tenant_no and n.tenant = $1::text and p.issuer = $2::text and p.subject = $3::text
returning p.subject`,
}

/** False: there is none in the tenant. Instances that know it let it through for up to 60 s more. */
export function removePrincipal(
  db: Database,
  { issuer, subject, tenant }: Omit<Principal, 'producers'>,
  by: string,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const removed = await tx.query(REMOVE, [tenant, issuer, subject])
    if (removed.length === 0) return false
    const before = { issuer, tenant }
    await recordAudit(tx, { actor: by, action: 'remove_metadata_principal', subject, before })
    return true
  })
}

const LIST: Statement = {
  name: 'list_metadata_principals',
  text: `
select p.issuer, p.subject, p.producers, p.created_at as "createdAt"
  from metadata.principal p
  join metadata.tenant n using (tenant_no)
 where n.tenant = $1::text
 order by p.issuer, p.subject
 limit $2::int`,
}

/** At most 1,000. */
export function listPrincipals(db: Queryable, tenant: string): Promise<readonly PrincipalRow[]> {
  return db.query<PrincipalRow>(LIST, [tenant, LISTED_MAX])
}
