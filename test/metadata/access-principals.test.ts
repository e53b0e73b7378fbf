import { beforeEach, describe, expect, test } from 'vitest'
import { AccessError } from '../../shared/metadata/access/access-error.ts'
import {
  addPrincipal,
  findPrincipal,
  listPrincipals,
  type Principal,
  removePrincipal,
} from '../../shared/metadata/access/principals.ts'
import { useAccess } from './access-bench.ts'

const ISSUER = 'https://login.example/directory/v2.0'

describe('entra identities', () => {
  const bench = useAccess()
  beforeEach(async () => {
    await bench.query('with p as (delete from metadata.principal) delete from ops.audit')
  })
  const add = (given: Partial<Principal> = {}) =>
    addPrincipal(bench.db, { issuer: ISSUER, subject: 'robot', tenant: 'ours', producers: [], ...given }, 'ada')
  const remove = (given: Partial<Principal> = {}) =>
    removePrincipal(bench.db, { issuer: ISSUER, subject: 'robot', tenant: 'ours', ...given }, 'ada')

  test('belong to the tenant that they were added to', async () => {
    await add({ producers: ['b', 'a', 'b'] })
    expect(await findPrincipal(bench.db, ISSUER, 'robot')).toEqual({ tenant: 'ours', producers: ['a', 'b'] })
    expect(await findPrincipal(bench.db, ISSUER, 'Robot')).toBeNull()
    expect(await findPrincipal(bench.db, `${ISSUER}/`, 'robot')).toBeNull()
  })

  test('that are added again write as what was said last', async () => {
    await add({ producers: ['a'] })
    await add({ producers: ['b'] })
    expect(await findPrincipal(bench.db, ISSUER, 'robot')).toMatchObject({ producers: ['b'] })
  })

  test('are not taken from another tenant', async () => {
    await add({ tenant: 'theirs', producers: ['a'] })
    await expect(add()).rejects.toThrow('principal robot: expected one of no other tenant, got one of another')
    expect(await findPrincipal(bench.db, ISSUER, 'robot')).toEqual({ tenant: 'theirs', producers: ['a'] })
  })

  test('are listed to and removed by their tenant alone', async () => {
    await add()
    await add({ subject: 'other', tenant: 'theirs' })
    expect(await remove({ subject: 'other' })).toBe(false)
    expect(await listPrincipals(bench.db, 'ours')).toEqual([
      { issuer: ISSUER, subject: 'robot', producers: [], createdAt: expect.any(BigInt) },
    ])
    expect(await remove()).toBe(true)
    expect(await remove()).toBe(false)
    expect(await listPrincipals(bench.db, 'ours')).toEqual([])
    expect(await listPrincipals(bench.db, 'theirs')).toHaveLength(1)
  })

  test.each<Partial<Principal>>([
    { subject: '' },
    { subject: 'a b' },
    { subject: '\u0000' },
    { issuer: '' },
    { issuer: 'x'.repeat(257) },
    { tenant: 'Ours' },
    { producers: [''] },
  ])('are not added as %o', async (given) => {
    await expect(add(given)).rejects.toThrow(AccessError)
    expect(await listPrincipals(bench.db, 'ours')).toEqual([])
  })

  test('leave an audit row of what was done to them', async () => {
    await add({ producers: ['a'] })
    await remove()
    const audits = await bench.query('select actor, action, subject, before, after from ops.audit order by audit_id')
    const about = { issuer: ISSUER, tenant: 'ours' }
    expect(audits).toEqual([
      {
        actor: 'ada',
        action: 'add_metadata_principal',
        subject: 'robot',
        before: null,
        after: { ...about, producers: ['a'] },
      },
      { actor: 'ada', action: 'remove_metadata_principal', subject: 'robot', before: about, after: null },
    ])
  })
})
