import { z } from 'zod'
import { formatInstant, type Instant, parseInstant } from '../../../instant.ts'
import { AccessError } from '../../access/access-error.ts'
import {
  createToken,
  listTokens,
  OVERLAP_SECONDS_MAX,
  revokeToken,
  rotateToken,
  type TokenRow,
} from '../../access/tokens.ts'
import { instant } from '../../model/instant-text.ts'
import { ServiceError } from '../problems.ts'
import { BASE_PATH } from '../request.ts'
import { defineRoute, type Route } from '../route.ts'
import { instantOut } from '../wire/records.ts'

const names = z.array(z.string().max(256)).max(100)

const tokenShown = z
  .object({
    tokenId: z.string(),
    permissions: names,
    producers: names,
    expiresAt: instantOut,
    revokedAt: instantOut.nullable(),
    replacedBy: z.string().nullable(),
    lastUsedAt: instantOut.nullable().describe('at most hourly'),
    createdBy: z.string(),
    createdAt: instantOut,
  })
  .meta({ id: 'Token' })

const tokenMade = z
  .object({
    tokenId: z.string(),
    token: z.string().describe('shown once: only a hash of it is kept'),
    expiresAt: instantOut,
  })
  .meta({ id: 'NewToken' })

const tokenId = z.strictObject({ tokenId: z.string().max(100) })

const makeToken = defineRoute({
  operationId: 'createToken',
  method: 'POST',
  path: '/tokens',
  summary: 'A token of the same tenant. None grants what it lacks.',
  permission: 'tokens:admin',
  body: z.strictObject({
    permissions: names.min(1),
    producers: names.default([]).describe('producer ids that it may write as; `*`: all but those of the platform'),
    expiresAt: instant,
  }),
  answers: { 201: { description: 'The token, for the only time.', schema: tokenMade } },
  problems: [],
  async handle({ body, caller }, { db, tokenEnvironment }) {
    const { tenant, subject } = caller
    const given = { ...body, expiresAt: instantOf(body.expiresAt), tenant, createdBy: subject, caller }
    const made = await asService(() => createToken(db, given, tokenEnvironment))
    const headers = { Location: `${BASE_PATH}/tokens/${made.tokenId}` }
    return { status: 201, headers, body: { ...made, expiresAt: formatInstant(made.expiresAt) } }
  },
})

const showTokens = defineRoute({
  operationId: 'listTokens',
  method: 'GET',
  path: '/tokens',
  summary: 'The tokens of the tenant, without their secrets; those that are good first.',
  permission: 'tokens:admin',
  answers: { 200: { description: 'At most 1,000.', schema: z.object({ tokens: z.array(tokenShown) }) } },
  problems: [],
  async handle({ caller }, { db }) {
    const tokens = await listTokens(db, caller.tenant)
    return { status: 200, headers: { 'Cache-Control': 'private, no-store' }, body: { tokens: tokens.map(shown) } }
  },
})

const endToken = defineRoute({
  operationId: 'revokeToken',
  method: 'DELETE',
  path: '/tokens/{tokenId}',
  summary: 'End a token for ever. Instances that have seen it let it pass for up to a minute more.',
  permission: 'tokens:admin',
  params: tokenId,
  answers: { 204: { description: 'It is revoked, now or before.', schema: null } },
  problems: ['no-token'],
  async handle({ params, caller }, { db }) {
    await asService(() => revokeToken(db, params.tokenId, { tenant: caller.tenant, by: caller.subject }))
    return { status: 204 }
  },
})

const DAY_S = 86_400

const replaceToken = defineRoute({
  operationId: 'rotateToken',
  method: 'POST',
  path: '/tokens/{tokenId}/rotate',
  summary: 'A new token of the same rights; the old one stays good for the overlap.',
  permission: 'tokens:admin',
  params: tokenId,
  body: z.strictObject({
    overlapSeconds: z.int().min(0).max(OVERLAP_SECONDS_MAX).default(DAY_S),
    expiresAt: instant.optional().describe('absent: as long from now as the old one was made for'),
  }),
  answers: {
    201: {
      description: 'The new token, for the only time.',
      schema: tokenMade.extend({ replacedExpiresAt: instantOut.describe('until when the old one is good') }),
    },
  },
  problems: ['no-token', 'token-ended'],
  async handle({ params, body, caller }, { db, tokenEnvironment }) {
    const rotation = {
      tenant: caller.tenant,
      overlapSeconds: body.overlapSeconds,
      by: caller.subject,
      ...(body.expiresAt !== undefined && { expiresAt: instantOf(body.expiresAt) }),
      caller,
    }
    const made = await asService(() => rotateToken(db, params.tokenId, rotation, tokenEnvironment))
    const times = {
      expiresAt: formatInstant(made.expiresAt),
      replacedExpiresAt: formatInstant(made.replacedExpiresAt),
    }
    return { status: 201, headers: { Location: `${BASE_PATH}/tokens/${made.tokenId}` }, body: { ...made, ...times } }
  },
})

export const TOKEN_ROUTES: readonly Route[] = [makeToken, showTokens, endToken, replaceToken]

async function asService<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof AccessError) throw serviceError(error)
    throw error
  }
}

function serviceError({ code, message, missing }: AccessError): ServiceError {
  switch (code) {
    case 'unknown-token':
      return new ServiceError('no-token', 'token: expected one of this tenant, got none of this id')
    case 'token-ended':
      return new ServiceError('token-ended', message)
    case 'permission-missing':
      return new ServiceError('permission-missing', { detail: message, missing: missing.join(', ') })
    default:
      return new ServiceError('invalid-body', message)
  }
}

function instantOf(text: string): Instant {
  const parsed = parseInstant(text)
  if (parsed === undefined) throw new Error('instant: expected one that its schema let pass')
  return parsed
}

function shown(token: TokenRow): z.output<typeof tokenShown> {
  const text = (at: Instant | null) => (at === null ? null : formatInstant(at))
  return {
    ...token,
    permissions: [...token.permissions],
    producers: [...token.producers],
    expiresAt: formatInstant(token.expiresAt),
    revokedAt: text(token.revokedAt),
    lastUsedAt: text(token.lastUsedAt),
    createdAt: formatInstant(token.createdAt),
  }
}
