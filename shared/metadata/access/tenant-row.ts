import type { Queryable, Statement } from '../../postgres/database.ts'
import { TENANT_NAME } from '../model/record.ts'
import { AccessError } from './access-error.ts'

// Looked for first: an insert that finds it there takes a number all the same.
const ADD_TENANT: Statement = {
  name: 'add_metadata_tenant',
  text: `
insert into metadata.tenant (tenant)
select $1::text where not exists (select from metadata.tenant where tenant = $1::text)
on conflict do nothing`,
}

/** Whoever grants access may come before the first record. Throws AccessError. */
export async function addTenant(tx: Queryable, tenant: string): Promise<void> {
  if (!TENANT_NAME.test(tenant)) {
    throw new AccessError(
      'invalid-request',
      `tenant: expected up to 63 of a-z, 0-9 and -, a letter first, got "${tenant.slice(0, 80)}"`,
    )
  }
  await tx.query(ADD_TENANT, [tenant])
}
