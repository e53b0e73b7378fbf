import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import {
  type CryptoKey,
  exportJWK,
  exportPKCS8,
  exportSPKI,
  generateKeyPair,
  importPKCS8,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { TransientError } from '../../shared/errors.ts'
import { createHttpClient } from '../../shared/http/client.ts'
import { type AuthenticatorOptions, createAuthenticator } from '../../shared/metadata/access/authenticate.ts'
import { entraIssuer } from '../../shared/metadata/access/entra.ts'
import { addPrincipal } from '../../shared/metadata/access/principals.ts'
import { useAccess } from './access-bench.ts'

const TENANT_ID = '11111111-2222-3333-4444-555555555555'
const AUDIENCE = '99999999-2222-3333-4444-555555555555'
const KEYS_PATH = `/${TENANT_ID}/discovery/v2.0/keys`
const OURS = 'aaaaaaaa-0000-0000-0000-000000000001'
const ADDRESS = '10.0.0.1'

type KeyPair = { readonly kid: string; readonly publicKey: CryptoKey; readonly privateKey: CryptoKey }

async function newKey(kid: string): Promise<KeyPair> {
  return { kid, ...(await generateKeyPair('RS256', { extractable: true })) }
}

/** What the directory answers, on loopback. */
function createDirectory() {
  let server: Server | undefined
  let answer: { status: number; body: string } = { status: 200, body: '' }
  let asked = 0
  let port = 0
  return {
    get asked() {
      return asked
    },
    get authority() {
      return `http://127.0.0.1:${port}`
    },
    async start() {
      server = createServer((request, response) => {
        asked++
        const known = request.url === KEYS_PATH
        response.writeHead(known ? answer.status : 404, { 'content-type': 'application/json' })
        response.end(known ? answer.body : '{}')
      })
      await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
      port = (server.address() as AddressInfo).port
    },
    async publish(...keys: readonly KeyPair[]) {
      const jwks = keys.map(async ({ kid, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, use: 'sig' }))
      answer = { status: 200, body: JSON.stringify({ keys: await Promise.all(jwks) }) }
      asked = 0
    },
    answer(status: number, body: string) {
      answer = { status, body }
      asked = 0
    },
    stop: () => new Promise((resolve) => server?.close(resolve)),
  }
}

describe('who asks with an entra token', () => {
  const bench = useAccess()
  const directory = createDirectory()
  let key: KeyPair
  let next: KeyPair
  let foreign: KeyPair
  beforeAll(async () => {
    await directory.start()
    key = await newKey('first')
    next = await newKey('second')
    foreign = await newKey('first')
    const principal = { issuer: issuer(), subject: OURS, tenant: 'ours', producers: ['team.v1'] }
    await addPrincipal(bench.db, principal, 'ada')
  })
  beforeEach(async () => {
    await bench.query('delete from metadata.rate_budget')
    await directory.publish(key)
    bench.statements.length = 0
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  afterAll(() => directory.stop())

  const settings = () => ({ tenantId: TENANT_ID, audience: AUDIENCE, authority: directory.authority })
  const issuer = () => entraIssuer(settings())
  const open = (options: Partial<AuthenticatorOptions> = {}) =>
    createAuthenticator({
      db: bench.db,
      clock: bench.clock,
      tokenEnvironment: 'test',
      entra: settings(),
      http: createHttpClient({ timeoutMs: 2_000, triesMax: 1 }),
      ...options,
    })
  const nowS = () => Number(bench.now / 1_000_000n)
  const claims = (more: JWTPayload = {}): JWTPayload => ({
    iss: issuer(),
    aud: AUDIENCE,
    oid: OURS,
    iat: nowS(),
    nbf: nowS(),
    exp: nowS() + 3_600,
    roles: ['records:read'],
    ...more,
  })
  const sign = (payload: JWTPayload, by: KeyPair = key, header: Record<string, string> = {}) =>
    new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: by.kid, ...header }).sign(by.privateKey)
  const ask = async (token: string, authenticate = open()) => authenticate(`Bearer ${token}`, ADDRESS)
  /** Only the date moves: timers of the clients stay real. */
  const moveDate = (ms: number) => vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms })

  test('has the tenant and producers of its row and the permissions of its app roles', async () => {
    const roles = ['records:read', 'records:write:schedule', 'Other.Role', 'tokens:*']
    expect(await ask(await sign(claims({ roles })))).toEqual({
      ok: true,
      caller: {
        tenant: 'ours',
        subject: `entra:${OURS}`,
        tokenId: null,
        permissions: ['records:read', 'records:write:schedule'],
        producers: ['team.v1'],
      },
    })
  })

  test('without app roles may do nothing', async () => {
    const { roles: _, ...none } = claims()
    expect(await ask(await sign(none))).toMatchObject({ ok: true, caller: { permissions: [] } })
  })

  test('is the same with a token of version 1', async () => {
    const v1 = claims({ iss: `https://sts.windows.net/${TENANT_ID}/`, aud: `api://${AUDIENCE}` })
    expect(await ask(await sign(v1))).toMatchObject({ ok: true, caller: { tenant: 'ours' } })
  })

  test('may have a clock that is a minute off', async () => {
    expect((await ask(await sign(claims({ nbf: nowS() + 59, exp: nowS() + 100 })))).ok).toBe(true)
    expect((await ask(await sign(claims({ nbf: nowS() - 100, exp: nowS() - 59 })))).ok).toBe(true)
  })

  const SIGNATURE = 'entra token: expected one signed with RS256 by a key of the directory, got none'
  test.each<readonly [string, () => Promise<string>, string, string]>([
    ['that expired', () => sign(claims({ exp: nowS() - 61 })), 'token-expired', 'has not expired, got one that has'],
    ['that is not valid yet', () => sign(claims({ nbf: nowS() + 3_600 })), 'unauthenticated', 'claim nbf'],
    ['for another audience', () => sign(claims({ aud: `${AUDIENCE}0` })), 'unauthenticated', 'claim aud'],
    ['of another issuer', () => sign(claims({ iss: `${issuer()}/` })), 'unauthenticated', 'claim iss'],
    ['without an expiry', () => sign(without(claims(), 'exp')), 'unauthenticated', 'claim exp'],
    ['without an audience', () => sign(without(claims(), 'aud')), 'unauthenticated', 'claim aud'],
    ['without oid', () => sign(without(claims(), 'oid')), 'unauthenticated', 'claim oid'],
    ['with an oid that is none', () => sign(claims({ oid: 7 })), 'unauthenticated', 'claims oid and roles'],
    ['with an oid of a NUL', () => sign(claims({ oid: '\u0000' })), 'unauthenticated', 'claims oid and roles'],
    ['with roles that are none', () => sign(claims({ roles: 'records:read' })), 'unauthenticated', 'oid and roles'],
    ['of a key that is not the directory’s', () => sign(claims(), foreign), 'unauthenticated', SIGNATURE],
    ['of a key that nobody knows', () => sign(claims(), next), 'unauthenticated', SIGNATURE],
    ['that nobody signed', async () => new UnsecuredJWT(claims()).encode(), 'unauthenticated', SIGNATURE],
    ['signed with the public key as a secret', () => signWithPublicKey(), 'unauthenticated', SIGNATURE],
    ['signed with another algorithm', () => signWithPs256(), 'unauthenticated', SIGNATURE],
    ['whose claims were changed', async () => changed(await sign(claims())), 'unauthenticated', SIGNATURE],
    ['without its signature', async () => (await sign(claims())).replace(/[^.]+$/, ''), 'unauthenticated', SIGNATURE],
    ['that is none', async () => 'a.b.c', 'unauthenticated', SIGNATURE],
    ['in five parts', async () => 'a.b.c.d.e', 'unauthenticated', SIGNATURE],
    ['that wants an extension', () => signCritical(), 'unauthenticated', SIGNATURE],
    [
      'over 16 KiB',
      () => sign(claims({ more: 'x'.repeat(16_384) })),
      'unauthenticated',
      'expected at most 16384 bytes',
    ],
  ])('with a token %s is refused', async (_what, token, code, detail) => {
    const answer = await ask(await token())
    expect(answer).toMatchObject({ ok: false, problem: { status: 401, code, detail: expect.stringContaining(detail) } })
    expect(bench.statements).toEqual([])
  })

  test('with a token of any other content is refused, and nothing is thrown', async () => {
    const authenticate = open()
    const part = fc.oneof(
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc
        .record({ alg: fc.constant('RS256'), kid: fc.jsonValue(), crit: fc.jsonValue() }, { requiredKeys: ['alg'] })
        .map((header) => Buffer.from(JSON.stringify(header)).toString('base64url')),
      fc.stringMatching(/^[\u0021-\u007e]{0,40}$/),
    )
    await fc.assert(
      fc.asyncProperty(part, part, part, async (header, payload, signature) => {
        const answer = await ask(`${header}.${payload}.${signature}`, authenticate)
        expect(answer).toMatchObject({ ok: false, problem: { status: 401, code: 'unauthenticated' } })
      }),
      { numRuns: 500 },
    )
  })

  test('with a token over 16 KiB is refused before anything of it is read', async () => {
    await ask(await sign(claims({ more: 'x'.repeat(16_384) })))
    expect(directory.asked).toBe(0)
  })

  test('but belongs to no tenant is told so', async () => {
    const answer = await ask(await sign(claims({ oid: 'bbbbbbbb-0000-0000-0000-000000000001' })))
    expect(answer).toMatchObject({ ok: false, problem: { status: 403, code: 'no-tenant' } })
  })

  test('and belongs to no tenant takes from the budget of guesses', async () => {
    const authenticate = open()
    const stranger = await sign(claims({ oid: 'stranger' }))
    const statuses = new Set<number>()
    for (let n = 0; n < 25; n++) {
      const answer = await ask(stranger, authenticate)
      if (!answer.ok) statuses.add(answer.problem.status)
    }
    expect([...statuses]).toEqual([403, 429])
  })

  test('is nobody in another directory, whatever its oid', async () => {
    const elsewhere = { ...settings(), tenantId: '22222222-2222-3333-4444-555555555555' }
    const token = await sign(claims({ iss: entraIssuer(elsewhere) }))
    expect(await ask(token)).toMatchObject({ problem: { code: 'unauthenticated' } })
  })

  test('is looked up once in 60 s, and the keys are asked for once', async () => {
    const authenticate = open()
    for (let n = 0; n < 5; n++) expect((await ask(await sign(claims()), authenticate)).ok).toBe(true)
    expect(bench.statements).toEqual(['find_metadata_principal'])
    expect(directory.asked).toBe(1)
  })

  test('is let through with a key that the directory has only just begun to use', async () => {
    const authenticate = open()
    expect((await ask(await sign(claims()), authenticate)).ok).toBe(true)
    await directory.publish(key, next)
    moveDate(31_000)
    expect((await ask(await sign(claims(), next), authenticate)).ok).toBe(true)
    expect(directory.asked).toBe(1)
  })

  test('makes the service ask for keys no more than once in 30 s, however many it makes up', async () => {
    const authenticate = open()
    for (let n = 0; n < 10; n++) await ask(await sign(claims(), { ...next, kid: `made-up-${n}` }), authenticate)
    expect(directory.asked).toBe(1)
  })

  test('is refused an hour after its key was withdrawn', async () => {
    const authenticate = open()
    expect((await ask(await sign(claims()), authenticate)).ok).toBe(true)
    await directory.publish(next)
    moveDate(3_600_001)
    expect(await ask(await sign(claims()), authenticate)).toMatchObject({ problem: { detail: SIGNATURE } })
  })

  test.each<readonly [string, () => void]>([
    ['answer with an error', () => directory.answer(500, '')],
    ['are somewhere else', () => directory.answer(302, '')],
    ['are no JSON', () => directory.answer(200, '<html>')],
    ['are other JSON', () => directory.answer(200, '{"keys":7}')],
  ])('gets no verdict while the keys %s', async (_what, arrange) => {
    arrange()
    await expect(ask(await sign(claims()))).rejects.toThrow(TransientError)
  })

  test('gets no verdict while the directory can not be reached, and one as soon as it can', async () => {
    let reachable = false
    const http = createHttpClient({ timeoutMs: 2_000, triesMax: 1 })
    const authenticate = open({
      http: (request, options) =>
        reachable ? http(request, options) : http({ ...request, url: 'http://127.0.0.1:1/' }, options),
    })
    await expect(ask(await sign(claims()), authenticate)).rejects.toThrow(TransientError)
    reachable = true
    expect((await ask(await sign(claims()), authenticate)).ok).toBe(true)
  })

  test('with a token that can not be read costs neither keys nor a look-up', async () => {
    await ask('a.b.c')
    expect(directory.asked).toBe(0)
    expect(bench.statements).toEqual([])
  })

  const signWithPublicKey = async () => {
    const secret = new TextEncoder().encode(await exportSPKI(key.publicKey))
    return new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: key.kid }).sign(secret)
  }
  /** With the directory's own key: only the list of algorithms is against it. */
  const signWithPs256 = async () => {
    const privateKey = await importPKCS8(await exportPKCS8(key.privateKey), 'PS256')
    return new SignJWT(claims()).setProtectedHeader({ alg: 'PS256', kid: key.kid }).sign(privateKey)
  }
  const signCritical = () =>
    new SignJWT(claims())
      .setProtectedHeader({ alg: 'RS256', kid: key.kid, crit: ['x'], x: 1 })
      .sign(key.privateKey, { crit: { x: true } })
})

function without(payload: JWTPayload, name: string): JWTPayload {
  return Object.fromEntries(Object.entries(payload).filter(([key]) => key !== name))
}

/** The same signature below another identity. */
function changed(token: string): string {
  const [header, payload = '', signature] = token.split('.')
  const said = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as JWTPayload
  const other = Buffer.from(JSON.stringify({ ...said, oid: 'another' })).toString('base64url')
  return `${header}.${other}.${signature}`
}
