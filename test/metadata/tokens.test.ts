import { beforeEach, describe, expect, test } from 'vitest'
import { AccessError } from '../../shared/metadata/access/access-error.ts'
import { createAuthenticator } from '../../shared/metadata/access/authenticate.ts'
import type { Caller } from '../../shared/metadata/access/caller.ts'
import {
  createToken,
  listTokens,
  type NewToken,
  OVERLAP_SECONDS_MAX,
  revokeToken,
  rotateToken,
} from '../../shared/metadata/access/tokens.ts'
import { HOUR, SECOND, useAccess } from './access-bench.ts'

const DAY = 24n * HOUR

describe('service tokens', () => {
  const bench = useAccess()
  beforeEach(async () => {
    await bench.query('with t as (delete from metadata.token) delete from ops.audit')
  })
  const create = (given: Partial<NewToken> = {}) =>
    createToken(
      bench.db,
      {
        tenant: 'ours',
        permissions: ['records:read'],
        producers: ['team.v1'],
        expiresAt: bench.now + 30n * DAY,
        createdBy: 'ada',
        ...given,
      },
      'test',
    )
  const rotate = (tokenId: string, given: { tenant?: string; overlapSeconds?: number; caller?: Caller } = {}) =>
    rotateToken(bench.db, tokenId, { tenant: 'ours', overlapSeconds: 3600, by: 'ada', ...given }, 'test')
  const authenticate = async (token: string, at = bench.now) => {
    const options = { db: bench.db, clock: () => at, tokenEnvironment: 'test' }
    const answer = await createAuthenticator(options)(`Bearer ${token}`, '10.0.0.1')
    return answer.ok ? answer.caller.tokenId : answer.problem.detail
  }
  const refusal = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    return error instanceof AccessError ? `${error.code}: ${error.message}` : error
  }
  const callerOf = (given: Partial<Caller>): Caller => ({
    tenant: 'ours',
    subject: 'token:x',
    tokenId: 'x',
    permissions: ['tokens:admin', 'records:read'],
    producers: ['team.v1'],
    ...given,
  })

  test('open what they were made for, in a tenant that needs no record before', async () => {
    const { tokenId, token } = await create({ tenant: 'new-tenant', permissions: ['feed:read', 'records:read'] })
    const answer = await createAuthenticator({ db: bench.db, clock: bench.clock, tokenEnvironment: 'test' })(
      `Bearer ${token}`,
      null,
    )
    expect(answer).toEqual({
      ok: true,
      caller: {
        tenant: 'new-tenant',
        subject: `token:${tokenId}`,
        tokenId,
        permissions: ['feed:read', 'records:read'],
        producers: ['team.v1'],
      },
    })
  })

  test('leave nothing of their secret in the database', async () => {
    const { token } = await create()
    const rows = await bench.query<{ text: string }>(
      `select t::text || encode(t.secret_sha256, 'escape') as text from metadata.token t
       union all select a::text from ops.audit a`,
    )
    const secret = token.split('_').at(-1)?.slice(0, 43) ?? ''
    expect(secret).toHaveLength(43)
    expect(rows).toHaveLength(2)
    for (const { text } of rows) expect(text).not.toContain(secret.slice(0, 8))
  })

  test.each<readonly [string, Partial<NewToken>, string]>([
    ['no permission', { permissions: [] }, 'permissions: expected at least one'],
    ['an unknown permission', { permissions: ['records:read', 'root'] }, 'permission: expected one of records:read'],
    ['an empty producer', { producers: [''] }, 'producer: expected 1 to 256 characters'],
    ['a producer with a NUL', { producers: ['a\u0000'] }, 'producer: expected 1 to 256 characters'],
    ['a lone surrogate', { producers: ['a\ud800'] }, 'producer: expected 1 to 256 characters'],
    [
      'too many producers',
      { producers: Array.from({ length: 101 }, (_, n) => `p${n}`) },
      'producers: expected at most',
    ],
    ['no tenant name', { tenant: 'Ours' }, 'tenant: expected up to 63'],
    ['an expiry that is over', { expiresAt: 0n }, 'expiry: expected a time in the next 10 years'],
  ])('are not made with %s', async (_what, given, message) => {
    expect(await refusal(create(given))).toContain(`invalid-request: ${message}`)
    expect(await listTokens(bench.db, 'ours')).toEqual([])
  })

  test('grant over HTTP what their caller has, in its tenant', async () => {
    const { tokenId } = await create({ caller: callerOf({}) })
    expect((await listTokens(bench.db, 'ours')).map((token) => token.tokenId)).toEqual([tokenId])
    expect(await refusal(create({ caller: callerOf({ producers: [] }) }))).toBe(
      'permission-missing: grant: expected what the caller has, got producer team.v1',
    )
    expect(await refusal(create({ caller: callerOf({ tenant: 'theirs' }) }))).toContain('invalid-request: tenant')
  })

  test('are listed to their tenant alone, those that are good first', async () => {
    const revoked = await create()
    const good = await create({ createdBy: 'bob' })
    await create({ tenant: 'theirs' })
    await revokeToken(bench.db, revoked.tokenId, { tenant: 'ours', by: 'ada' })
    const listed = await listTokens(bench.db, 'ours')
    expect(listed.map((token) => token.tokenId)).toEqual([good.tokenId, revoked.tokenId])
    expect(listed[0]).toEqual({
      tokenId: good.tokenId,
      permissions: ['records:read'],
      producers: ['team.v1'],
      expiresAt: bench.now + 30n * DAY,
      revokedAt: null,
      replacedBy: null,
      lastUsedAt: null,
      createdBy: 'bob',
      createdAt: expect.any(BigInt),
    })
  })

  test('of another tenant are as good as absent', async () => {
    const { tokenId, token } = await create({ tenant: 'theirs' })
    const absent = /^unknown-token: token .{16}: expected one of the tenant, got none$/
    expect(await refusal(revokeToken(bench.db, tokenId, { tenant: 'ours', by: 'ada' }))).toMatch(absent)
    expect(await refusal(rotate(tokenId))).toMatch(absent)
    expect(await refusal(rotate(tokenId, { tenant: 'theirs', caller: callerOf({}) }))).toMatch(absent)
    expect(await refusal(rotate('0'.repeat(16)))).toMatch(absent)
    expect(await authenticate(token)).toBe(tokenId)
  })

  test('whose name can be none are absent', async () => {
    expect(await refusal(rotate('\u0000'))).toContain('unknown-token')
    expect(await refusal(revokeToken(bench.db, `'; drop`, { tenant: 'ours', by: 'ada' }))).toContain('unknown-token')
  })

  test('that are revoked open nothing, and revoking them again changes nothing', async () => {
    const { tokenId, token } = await create()
    await revokeToken(bench.db, tokenId, { tenant: 'ours', by: 'ada' })
    const [before] = await listTokens(bench.db, 'ours')
    await revokeToken(bench.db, tokenId, { tenant: 'ours', by: 'bob' })
    expect(await listTokens(bench.db, 'ours')).toEqual([before])
    expect(await authenticate(token)).toBe(`token ${tokenId}: expected one that is good, got one that was revoked`)
  })

  test('that are rotated are good beside their successor until the overlap ends', async () => {
    const old = await create({ permissions: ['feed:read', 'records:read'] })
    const next = await rotate(old.tokenId, { overlapSeconds: 3600 })
    expect(await authenticate(old.token)).toBe(old.tokenId)
    expect(await authenticate(next.token)).toBe(next.tokenId)
    expect(await authenticate(old.token, next.replacedExpiresAt - 1n)).toBe(old.tokenId)
    expect(await authenticate(old.token, next.replacedExpiresAt)).toContain('got one that has')
    expect(await authenticate(next.token, next.replacedExpiresAt)).toBe(next.tokenId)
    const listed = await listTokens(bench.db, 'ours')
    const replaced = listed.find(({ tokenId }) => tokenId === old.tokenId)
    const successor = listed.find(({ tokenId }) => tokenId === next.tokenId)
    expect(replaced).toMatchObject({ replacedBy: next.tokenId, expiresAt: next.replacedExpiresAt })
    expect(successor).toMatchObject({ permissions: ['feed:read', 'records:read'], producers: ['team.v1'] })
  })

  test('last after a rotation as long as before it, and the old one no longer', async () => {
    const old = await create()
    await bench.query(`update metadata.token set created_at = created_at - interval '20 days'`)
    const lifetime = async (of: string) => {
      const token = (await listTokens(bench.db, 'ours')).find(({ tokenId }) => tokenId === of)
      return token === undefined ? undefined : token.expiresAt - token.createdAt
    }
    const before = await lifetime(old.tokenId)
    const next = await rotate(old.tokenId, { overlapSeconds: OVERLAP_SECONDS_MAX })
    expect(await lifetime(next.tokenId)).toBe(before)
    const soon = await create({ expiresAt: bench.now + DAY })
    const rotated = await rotate(soon.tokenId, { overlapSeconds: OVERLAP_SECONDS_MAX })
    expect(rotated.replacedExpiresAt).toBe(bench.now + DAY)
  })

  test.each([-1, 0.5, Number.NaN, OVERLAP_SECONDS_MAX + 1])(
    'are not rotated with an overlap of %s s',
    async (seconds) => {
      const { tokenId } = await create()
      expect(await refusal(rotate(tokenId, { overlapSeconds: seconds }))).toContain(
        'invalid-request: overlap: expected',
      )
    },
  )

  test('are rotated once, by one of two that try at once', async () => {
    for (let round = 1; round <= 10; round++) {
      const { tokenId } = await create()
      const results = await Promise.all([refusal(rotate(tokenId)), refusal(rotate(tokenId))])
      expect(results.filter((result) => result === undefined)).toHaveLength(1)
      expect(results.find((result) => result !== undefined)).toMatch(/^token-ended: .* got one that was replaced by /)
      expect(await listTokens(bench.db, 'ours')).toHaveLength(2 * round)
    }
  })

  test('that ended are not rotated', async () => {
    const revoked = await create()
    await revokeToken(bench.db, revoked.tokenId, { tenant: 'ours', by: 'ada' })
    expect(await refusal(rotate(revoked.tokenId))).toMatch(/^token-ended: .* was revoked$/)
    const over = await create()
    await bench.query('update metadata.token set expires_at = now() where token_id = $1', [over.tokenId])
    expect(await refusal(rotate(over.tokenId))).toMatch(/^token-ended: .* expired$/)
  })

  test('give by rotation nothing that the caller lacks', async () => {
    const strong = await create({ permissions: ['records:write:*'], producers: ['*'] })
    expect(await refusal(rotate(strong.tokenId, { caller: callerOf({}) }))).toBe(
      'permission-missing: grant: expected what the caller has, got records:write:*, producer *',
    )
    expect(await listTokens(bench.db, 'ours')).toHaveLength(1)
  })

  test('leave an audit row of each thing that was done to them', async () => {
    const { tokenId } = await create()
    const next = await rotate(tokenId)
    await revokeToken(bench.db, next.tokenId, { tenant: 'ours', by: 'bob' })
    const audits = await bench.query('select actor, action, subject from ops.audit order by audit_id')
    expect(audits).toEqual([
      { actor: 'ada', action: 'create_metadata_token', subject: tokenId },
      { actor: 'ada', action: 'rotate_metadata_token', subject: tokenId },
      { actor: 'bob', action: 'revoke_metadata_token', subject: next.tokenId },
    ])
  })

  test('note when they were used, at most hourly', async () => {
    const { tokenId, token } = await create()
    const lastUsed = async () => (await listTokens(bench.db, 'ours'))[0]?.lastUsedAt ?? null
    expect(await lastUsed()).toBeNull()
    await authenticate(token)
    const first = await lastUsed()
    expect(first).not.toBeNull()
    await authenticate(token)
    expect(await lastUsed()).toBe(first)
    await bench.query(
      `update metadata.token set last_used_at = last_used_at - interval '61 minutes' where token_id = $1`,
      [tokenId],
    )
    await authenticate(token, bench.now + 61n * 60n * SECOND)
    expect((await lastUsed()) ?? 0n).toBeGreaterThanOrEqual(first ?? 0n)
  })
})
