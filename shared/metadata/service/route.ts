import { z } from 'zod'
import type { Log } from '../../log/log.ts'
import type { Caller, Permission } from '../access/caller.ts'
import { readBody } from './body.ts'
import { parseBody, parseParameters, queryParameters } from './input.ts'
import type { ServiceOptions } from './parts.ts'
import type { ServiceProblemCode } from './problems.ts'
import { type HttpRequestLike, urlOf } from './request.ts'

export type Answer = {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** JSON; absent: nothing. */
  readonly body?: unknown
}

/** What is remembered between requests: one per instance of the process. */
export type ServiceState = {
  /** Requests that wait for the feed. */
  readonly waiting: { count: number }
  /** OpenAPI of all routes. */
  readonly document: () => unknown
}

export type ServiceParts = ServiceOptions & ServiceState

/** What every handler knows besides its parameters. */
export type Call = {
  readonly caller: Caller
  readonly request: HttpRequestLike
  readonly log: Log
}

/** Schema of what a status answers with; null: no body. */
export type Answers = Readonly<Record<number, { readonly description: string; readonly schema: z.ZodType | null }>>

export type Route = {
  readonly operationId: string
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below the prefix; parts in braces are parameters. */
  readonly path: string
  readonly summary: string
  /** Null: any token. */
  readonly permission: Permission | null
  /** Needs a permission for the kind of each record, and waits while the platform is behind. */
  readonly writesRecords: boolean
  readonly request: {
    readonly params: z.ZodObject
    readonly query: z.ZodObject
    /** Null: none is read. */
    readonly body: z.ZodType | null
  }
  readonly answers: Answers
  /** Beyond those that every route may answer with. */
  readonly problems: readonly ServiceProblemCode[]
  readonly handle: (call: Call, parts: ServiceParts) => Promise<Answer>
}

const NONE = z.strictObject({})
const NO_BODY = z.undefined()

type Spec<Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodType> = Pick<
  Route,
  'operationId' | 'method' | 'path' | 'summary' | 'permission' | 'answers' | 'problems'
> & {
  readonly writesRecords?: boolean
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** What is documented of the body, where the handler checks it by itself. */
  readonly documentedBody?: z.ZodType
  readonly handle: (
    request: Call & {
      readonly params: z.output<Params>
      readonly query: z.output<Query>
      readonly body: z.output<Body>
    },
    parts: ServiceParts,
  ) => Promise<Answer>
}

/** A route whose handler is given what its schemas say, or is not called. */
export function defineRoute<
  Params extends z.ZodObject = typeof NONE,
  Query extends z.ZodObject = typeof NONE,
  Body extends z.ZodType = typeof NO_BODY,
>(spec: Spec<Params, Query, Body>): Route {
  const { params, query, body, documentedBody, writesRecords = false, handle, ...rest } = spec
  return {
    ...rest,
    writesRecords,
    request: { params: params ?? NONE, query: query ?? NONE, body: documentedBody ?? body ?? null },
    async handle(call, parts) {
      const { request } = call
      const given = {
        params: parseParameters(params ?? NONE, request.params),
        query: parseParameters(query ?? NONE, queryParameters(urlOf(request).searchParams)),
        body: body === undefined ? undefined : await bodyOf(body, request, documentedBody !== undefined),
      }
      return handle({ ...call, ...(given as Given<Params, Query, Body>) }, parts)
    },
  }
}

type Given<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> = {
  readonly params: z.output<Params>
  readonly query: z.output<Query>
  readonly body: z.output<Body>
}

/** Where the handler looks at each item by itself, one bad one must not take the others with it. */
async function bodyOf(schema: z.ZodType, request: HttpRequestLike, unchecked: boolean): Promise<unknown> {
  const body = await readBody(request)
  if (!unchecked) return parseBody(schema, body ?? {})
  const parsed = schema.safeParse(body)
  return parsed.success ? parsed.data : parseBody(schema, body)
}
