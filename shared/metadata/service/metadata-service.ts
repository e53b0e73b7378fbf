import { v7 as uuidv7 } from 'uuid'
import type { Log } from '../../log/log.ts'
import { type Caller, may } from '../access/caller.ts'
import { createPressureCheck } from './back-pressure.ts'
import { problemOf } from './failure.ts'
import { openApiDocument } from './openapi.ts'
import type { ServiceOptions } from './parts.ts'
import { problemBody, ServiceError } from './problems.ts'
import { checkWriter, missing } from './record-access.ts'
import { clientAddress, type HttpRequestLike, type HttpResponseLike } from './request.ts'
import type { Answer, Route, ServiceParts } from './route.ts'
import { ROUTES } from './routes.ts'

export type MetadataService = {
  readonly routes: readonly Route[]
  /** Never throws. `log`: of this request, where it has one. */
  readonly handle: (route: Route, request: HttpRequestLike, log?: Log) => Promise<HttpResponseLike>
}

/** Requests of one token: what a planner and its collectors need, and no more than one of them can do harm with. */
const BUDGET = { capacity: 1_000, refillPerS: 50 }

const ALWAYS = { Vary: 'Authorization', 'X-Content-Type-Options': 'nosniff' }

/** One per instance of the process: it remembers who waits, and how far behind the platform is. */
export function createMetadataService(options: ServiceOptions): MetadataService {
  const checkPressure = createPressureCheck(options)
  const parts: ServiceParts = {
    ...options,
    waiting: { count: 0 },
    document: () => openApiDocument(ROUTES, options.kinds.known()),
  }

  /** In this order: nobody learns anything, not even what is wrong with a request, who may not ask. */
  const answer = async (route: Route, request: HttpRequestLike, log: Log, known: (caller: Caller) => void) => {
    const caller = await authenticated(options, request)
    known(caller)
    await takeFromBudget(options, caller)
    if (route.permission !== null && !may(caller, route.permission)) throw missing(route.permission)
    if (route.writesRecords) {
      checkWriter(caller)
      await checkPressure()
    }
    return route.handle({ caller, request, log }, parts)
  }

  return {
    routes: ROUTES,
    async handle(route, request, given = options.log) {
      const startedMs = performance.now()
      const requestId = uuidv7()
      const log = given.with({ request_id: requestId, operation: route.operationId })
      let caller: Caller | null = null
      let refusal: ServiceError | null = null
      let response: HttpResponseLike
      try {
        const remember = (who: Caller) => {
          caller = who
        }
        response = responseOf(route, await answer(route, request, log, remember))
      } catch (thrown) {
        refusal = problemOf(thrown, log)
        response = problemResponse(refusal, `urn:uuid:${requestId}`)
      }
      log.info('metadata_request', {
        ...whoIs(caller),
        status: response.status,
        ...(refusal !== null && { problem: refusal.code }),
        duration_ms: Math.round(performance.now() - startedMs),
      })
      return response
    },
  }
}

async function authenticated({ authenticate }: ServiceOptions, request: HttpRequestLike): Promise<Caller> {
  const result = await authenticate(request.headers.get('authorization'), clientAddress(request))
  if (result.ok) return result.caller
  const { code, status, detail, retryAfterS, missing: lacks } = result.problem
  const headers = {
    ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
    ...(retryAfterS !== undefined && { 'Retry-After': String(retryAfterS) }),
  }
  throw new ServiceError(code, { detail, ...(lacks !== undefined && { missing: lacks }) }, { status, headers })
}

async function takeFromBudget({ budgets }: ServiceOptions, { tenant, tokenId, subject }: Caller): Promise<void> {
  const taken = await budgets?.take(tokenId === null ? `principal/${tenant}/${subject}` : `token/${tokenId}`, BUDGET)
  if (taken === undefined || taken.ok) return
  const headers = { 'Retry-After': String(taken.retryAfterS) }
  throw new ServiceError('rate-limited', `token: expected at most ${BUDGET.refillPerS} requests a second`, { headers })
}

function responseOf({ method }: Route, { status, headers, body }: Answer): HttpResponseLike {
  return {
    status,
    headers: {
      'Cache-Control': method === 'GET' ? 'private, no-cache' : 'private, no-store',
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...ALWAYS,
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }
}

function problemResponse(refusal: ServiceError, instance: string): HttpResponseLike {
  return {
    status: refusal.status,
    headers: {
      'Cache-Control': 'private, no-store',
      'Content-Type': 'application/problem+json',
      ...ALWAYS,
      ...refusal.headers,
    },
    body: JSON.stringify(problemBody(refusal, instance)),
  }
}

function whoIs(caller: Caller | null) {
  return caller === null ? {} : { tenant: caller.tenant, subject: caller.subject, token_id: caller.tokenId }
}
