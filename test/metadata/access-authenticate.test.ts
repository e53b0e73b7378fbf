import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../shared/errors.ts'
import {
  AUTHORIZATION_BYTES_MAX,
  type AuthenticatorOptions,
  createAuthenticator,
  GUESSES,
} from '../../shared/metadata/access/authenticate.ts'
import { formatToken, newTokenParts, parseToken, secretMatches } from '../../shared/metadata/access/token-text.ts'
import { type CreatedToken, createToken, revokeToken } from '../../shared/metadata/access/tokens.ts'
import { SECOND, useAccess } from './access-bench.ts'

const LOOKUP = 'find_metadata_token'
const ADDRESS = '10.0.0.1'

describe('who asks with a service token', () => {
  const bench = useAccess()
  let good: CreatedToken
  const create = (tenant = 'ours', seconds = 3600n) =>
    createToken(
      bench.db,
      {
        tenant,
        permissions: ['records:read'],
        producers: [],
        expiresAt: bench.now + seconds * SECOND,
        createdBy: 'ada',
      },
      'test',
    )
  beforeAll(async () => {
    good = await create()
  })
  beforeEach(async () => {
    await bench.query('delete from metadata.rate_budget')
    bench.statements.length = 0
  })
  const open = (options: Partial<AuthenticatorOptions> = {}) =>
    createAuthenticator({ db: bench.db, clock: bench.clock, tokenEnvironment: 'test', ...options })
  const lookups = () => bench.statements.filter((name) => name === LOOKUP).length
  const guess = () => `Bearer ${formatToken(newTokenParts('test'))}`
  const withOtherSecret = ({ token }: CreatedToken) => {
    const parts = parseToken(token)
    return `Bearer ${formatToken({ environment: 'test', tokenId: parts?.tokenId ?? '', secret: '0'.repeat(43) })}`
  }

  test.each<readonly [string, () => string | null, string]>([
    ['nothing', () => null, 'authorization: expected Bearer and a token, got none'],
    ['an empty text', () => '', 'authorization: expected Bearer and a token, got something else'],
    ['another scheme', () => `Basic ${good.token}`, 'authorization: expected Bearer and a token, got something else'],
    ['a token alone', () => good.token, 'authorization: expected Bearer and a token, got something else'],
    ['two tokens', () => `Bearer a b`, 'authorization: expected Bearer and a token, got something else'],
    ['a NUL', () => `Bearer trb_\u0000`, 'authorization: expected Bearer and a token, got something else'],
    [
      'a token over 16 KiB',
      () => `Bearer trb_${'x'.repeat(AUTHORIZATION_BYTES_MAX)}`,
      'authorization: expected at most 16384 bytes, got more',
    ],
    ['another kind of token', () => 'Bearer abc.def.ghi', 'token: expected one that begins with trb_, got another'],
    [
      'a token cut short',
      () => `Bearer ${good.token.slice(0, -1)}`,
      'token: expected one whose checksum is right, got another',
    ],
    [
      'a token in lower case',
      () => `Bearer ${good.token.toLowerCase()}`,
      'token: expected one whose checksum is right, got another',
    ],
    [
      'a token of another environment',
      () => `Bearer ${formatToken(newTokenParts('prod'))}`,
      'token: expected one of test, got one of prod',
    ],
  ])('%s is refused without a look-up', async (_what, authorization, detail) => {
    expect(await open()(authorization(), ADDRESS)).toEqual({
      ok: false,
      problem: { status: 401, code: 'unauthenticated', detail },
    })
    expect(bench.statements).toEqual([])
  })

  test.each<readonly [string, () => Promise<string>, string, string]>([
    ['an unknown id', async () => guess(), 'unauthenticated', 'token: expected one that is known, got another'],
    [
      'another secret of a known id',
      async () => withOtherSecret(good),
      'unauthenticated',
      'token: expected one that is known, got another',
    ],
    [
      'a token that expired',
      async () => {
        const { token, tokenId } = await create()
        await bench.query(`update metadata.token set expires_at = $2::timestamptz where token_id = $1`, [
          tokenId,
          bench.now,
        ])
        return `Bearer ${token}`
      },
      'token-expired',
      'token ID: expected one that has not expired, got one that has',
    ],
    [
      'a token that was revoked',
      async () => {
        const { token, tokenId } = await create()
        await revokeToken(bench.db, tokenId, { tenant: 'ours', by: 'ada' })
        return `Bearer ${token}`
      },
      'unauthenticated',
      'token ID: expected one that is good, got one that was revoked',
    ],
  ])('%s is refused', async (_what, authorization, code, detail) => {
    const answer = await open()(await authorization(), ADDRESS)
    expect(answer).toMatchObject({ ok: false, problem: { status: 401, code } })
    if (answer.ok) return
    expect(answer.problem.detail.replace(/[0-9A-Za-z]{16}/, 'ID')).toBe(detail)
  })

  test('only who has the secret is told what became of a token', async () => {
    const token = await create()
    await revokeToken(bench.db, token.tokenId, { tenant: 'ours', by: 'ada' })
    const answer = await open()(withOtherSecret(token), ADDRESS)
    expect(answer).toMatchObject({ problem: { detail: 'token: expected one that is known, got another' } })
  })

  test('no answer repeats a secret', async () => {
    const bad = [withOtherSecret(good), guess(), `Bearer ${good.token}x`, `Bearer ${good.token.slice(0, -2)}`]
    for (const authorization of bad) {
      const [secret = ''] = /[0-9A-Za-z]{43}/.exec(authorization.split('_').at(-1) ?? '') ?? []
      expect(secret).toHaveLength(43)
      const answer = JSON.stringify(await open()(authorization, ADDRESS))
      for (let at = 0; at + 8 <= secret.length; at++) expect(answer).not.toContain(secret.slice(at, at + 8))
    }
  })

  test('an unknown id goes the way of a known one: its secret is compared, with the hash of nobody', async () => {
    const compared: boolean[] = []
    const authenticate = open({
      matches: (secret, stored) => {
        compared.push(stored !== null)
        return secretMatches(secret, stored)
      },
    })
    await authenticate(guess(), ADDRESS)
    await authenticate(withOtherSecret(good), ADDRESS)
    await authenticate(`Bearer ${good.token}`, ADDRESS)
    expect(compared).toEqual([false, true, true])
  })

  test('the scheme is read in any case, as RFC 9110 wants it', async () => {
    expect((await open()(`bEARER  ${good.token} `, ADDRESS)).ok).toBe(true)
  })

  test('belongs to the tenant of the token and to no other', async () => {
    const theirs = await create('theirs')
    const authenticate = open()
    expect(await authenticate(`Bearer ${theirs.token}`, ADDRESS)).toMatchObject({ caller: { tenant: 'theirs' } })
    expect(await authenticate(`Bearer ${good.token}`, ADDRESS)).toMatchObject({ caller: { tenant: 'ours' } })
  })

  test('is looked up once in 60 s', async () => {
    let now = bench.now
    const authenticate = open({ clock: () => now })
    for (let n = 0; n < 5; n++) await authenticate(`Bearer ${good.token}`, ADDRESS)
    now += 60n * SECOND - 1n
    await authenticate(`Bearer ${good.token}`, ADDRESS)
    expect(lookups()).toBe(1)
    now += 1n
    await authenticate(`Bearer ${good.token}`, ADDRESS)
    expect(lookups()).toBe(2)
  })

  test('is let through for up to 60 s after the token was revoked, and then no more', async () => {
    let now = bench.now
    const token = await create()
    const authenticate = open({ clock: () => now })
    const ask = async () => (await authenticate(`Bearer ${token.token}`, ADDRESS)).ok
    expect(await ask()).toBe(true)
    await revokeToken(bench.db, token.tokenId, { tenant: 'ours', by: 'ada' })
    expect(await ask()).toBe(true)
    now += 60n * SECOND
    expect(await ask()).toBe(false)
  })

  test('is refused from the moment on that the token expires, also where it is remembered', async () => {
    let now = bench.now
    const token = await create('ours', 1_000n)
    const authenticate = open({ clock: () => now })
    now += 999n * SECOND
    expect(await authenticate(`Bearer ${token.token}`, ADDRESS)).toMatchObject({ ok: true })
    now += SECOND
    expect(await authenticate(`Bearer ${token.token}`, ADDRESS)).toMatchObject({ problem: { code: 'token-expired' } })
    expect(lookups()).toBe(1)
  })

  test('is let through where noting the use fails', async () => {
    const { token } = await create()
    const db = bench.open((operation, run) => {
      if (operation.subject === 'note_metadata_token_used') throw new DatabaseUnavailableError('injected')
      return run()
    })
    expect((await open({ db })(`Bearer ${token}`, ADDRESS)).ok).toBe(true)
    await db.close()
  })

  test('gets no answer while the database gives none: a good client is not told that its token is bad', async () => {
    const db = bench.open(() => Promise.reject(new DatabaseUnavailableError('injected')))
    await expect(open({ db })(`Bearer ${good.token}`, ADDRESS)).rejects.toThrow(DatabaseUnavailableError)
    await db.close()
  })

  describe('and guesses', () => {
    test('is refused before any look-up once the budget of the address is spent, and told when to come again', async () => {
      const authenticate = open()
      const statuses: number[] = []
      for (let n = 0; n < GUESSES.capacity + 10; n++) {
        const answer = await authenticate(guess(), ADDRESS)
        if (!answer.ok) statuses.push(answer.problem.status)
      }
      const unknown = Array.from({ length: GUESSES.capacity }, () => 401)
      expect(statuses).toEqual([...unknown, ...Array.from({ length: 10 }, () => 429)])
      // The first that is over the budget is how this instance hears of it.
      expect(lookups()).toBe(GUESSES.capacity + 1)
      expect(await authenticate(guess(), ADDRESS)).toEqual({
        ok: false,
        problem: {
          status: 429,
          code: 'rate-limited',
          detail: 'client: expected few tokens that are unknown, got too many',
          retryAfterS: expect.any(Number),
        },
      })
    })

    test('shares the budget with all instances and with every secret of a known id', async () => {
      for (let n = 0; n < GUESSES.capacity; n++) await open()(withOtherSecret(good), ADDRESS)
      // Each of these instances reserved a chunk of two and used one of it.
      expect(await open()(guess(), ADDRESS)).toMatchObject({ problem: { status: 429 } })
    })

    test('stops neither other addresses nor a token that is remembered', async () => {
      const authenticate = open()
      expect((await authenticate(`Bearer ${good.token}`, ADDRESS)).ok).toBe(true)
      for (let n = 0; n <= GUESSES.capacity; n++) await authenticate(guess(), ADDRESS)
      expect((await authenticate(`Bearer ${good.token}`, ADDRESS)).ok).toBe(true)
      expect(await authenticate(guess(), '10.0.0.2')).toMatchObject({ problem: { status: 401 } })
      const other = await create()
      expect(await authenticate(`Bearer ${other.token}`, ADDRESS)).toMatchObject({ problem: { status: 429 } })
      expect((await authenticate(`Bearer ${other.token}`, '10.0.0.2')).ok).toBe(true)
    })

    test('costs nothing where the checksum already tells', async () => {
      const authenticate = open()
      for (let n = 0; n < 3 * GUESSES.capacity; n++) await authenticate(`Bearer trb_test_${n}`, ADDRESS)
      expect((await authenticate(`Bearer ${good.token}`, ADDRESS)).ok).toBe(true)
    })
  })
})
