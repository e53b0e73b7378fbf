import { describe, expect, test } from 'vitest'
import { useService } from './service-bench.ts'

const soon = () => new Date(Date.now() + 86_400_000).toISOString()

describe('tokens over HTTP', () => {
  const bench = useService()
  const { ask } = bench
  const make = (fields: Readonly<Record<string, unknown>> = {}, token = bench.tokens.ours) =>
    ask('POST', '/tokens', { token, body: { permissions: ['records:read'], expiresAt: soon(), ...fields } })

  test('a new one works, is shown once and is of the tenant of who made it', async () => {
    const { status, body } = await make()
    expect(status).toBe(201)
    expect((await ask('GET', '/records', { token: body.token })).status).toBe(200)
    const listed = await ask('GET', '/tokens')
    expect(listed.headers.get('cache-control')).toBe('private, no-store')
    expect(listed.body.tokens.map(({ tokenId }: { tokenId: string }) => tokenId)).toContain(body.tokenId)
    expect(listed.text).not.toContain(body.token.split('_').at(-1))
    const theirs = await ask('GET', '/tokens', { token: bench.tokens.theirs })
    expect(theirs.text).not.toContain(body.tokenId)
  })

  test('none grants what it lacks, and is told what that is', async () => {
    const admin = await bench.token(['tokens:admin', 'records:read'], ['a.v1'])
    const { status, body } = await make({ permissions: ['records:read', 'feed:read'], producers: ['b.v1'] }, admin)
    expect([status, body.missing]).toEqual([403, 'feed:read, producer b.v1'])
    expect((await make({ producers: ['a.v1'] }, admin)).status).toBe(201)
  })

  test('nor does it get it by rotating the token of somebody else', async () => {
    const admin = await bench.token(['tokens:admin'])
    const [, , id] = bench.tokens.ours.split('_')
    const { status, body } = await ask('POST', `/tokens/${id}/rotate`, { token: admin })
    expect([status, body.type]).toEqual([403, '/api/metadata/v1/problems/permission-missing'])
  })

  test('after a rotation both work for the overlap, and the old one is not rotated again', async () => {
    const old = (await make()).body
    const { status, body } = await ask('POST', `/tokens/${old.tokenId}/rotate`, { body: { overlapSeconds: 3600 } })
    expect(status).toBe(201)
    for (const { token } of [old, body]) expect((await ask('GET', '/records', { token })).status).toBe(200)
    const again = await ask('POST', `/tokens/${old.tokenId}/rotate`)
    expect([again.status, again.body.type]).toEqual([409, '/api/metadata/v1/problems/token-ended'])
  })

  test('a revoked one does not work, and may be revoked again', async () => {
    const { body } = await make()
    for (let n = 0; n < 2; n++) {
      const answer = await ask('DELETE', `/tokens/${body.tokenId}`)
      expect([answer.status, answer.text]).toEqual([204, ''])
    }
    const after = await ask('GET', '/records', { token: body.token })
    expect([after.status, after.body.type]).toEqual([401, '/api/metadata/v1/problems/unauthenticated'])
  })

  test.each<[string, Readonly<Record<string, unknown>>]>([
    ['no permission', { permissions: [] }],
    ['a permission that there is not', { permissions: ['records:burn'] }],
    ['an end in the past', { expiresAt: '2020-01-01T00:00:00Z' }],
    ['no end', { expiresAt: undefined }],
    ['another tenant', { tenant: 'theirs' }],
  ])('one with %s is refused', async (_what, fields) => {
    expect((await make(fields)).body.type).toBe('/api/metadata/v1/problems/invalid-body')
  })

  test.each(['x', '%00', 'a'.repeat(16)])('there is no token of the id %s', async (id) => {
    expect([404, 400]).toContain((await ask('DELETE', `/tokens/${id}`)).status)
  })
})
