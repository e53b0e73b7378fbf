import { z } from 'zod'
import type { JsonValue } from '../../json.ts'
import type { MetadataKinds } from '../model/kinds.ts'
import { PROBLEMS, type ServiceProblemCode } from './problems.ts'
import { recordStatus } from './record-problem.ts'
import { BASE_PATH } from './request.ts'
import type { Route } from './route.ts'
import { problemDocument } from './wire/problem.ts'

type Json = { readonly [key: string]: JsonValue }

const ALWAYS: readonly ServiceProblemCode[] = [
  'unauthenticated',
  'token-expired',
  'no-tenant',
  'rate-limited',
  'invalid-query',
  'internal',
  'unavailable',
]
const OF_BODIES: readonly ServiceProblemCode[] = [
  'malformed-body',
  'invalid-body',
  'body-too-large',
  'unsupported-encoding',
  'unsupported-media-type',
]

/** OpenAPI 3.1 of the routes, from the very schemas that check requests. `kinds` say which extras can be asked for. */
export function openApiDocument(routes: readonly Route[], kinds: MetadataKinds): Json {
  const components = new Map<string, JsonValue>()
  const schemaOf = (schema: z.ZodType) => jsonSchema(schema, components)
  const facets = [...new Set([...kinds.values()].flatMap((kind) => kind.facets))].sort()
  const paths = new Map<string, Record<string, JsonValue>>()
  for (const route of routes) {
    const operations = paths.get(route.path) ?? {}
    operations[route.method.toLowerCase()] = operationOf(route, facets, schemaOf)
    paths.set(route.path, operations)
  }
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: { title: 'Tributary metadata', version: '1', description: 'Facts about what is ingested.' },
    servers: [{ url: BASE_PATH }],
    paths: Object.fromEntries(paths),
    components: {
      schemas: Object.fromEntries(components),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A service token, or one of Entra ID.' },
      },
    },
  }
}

type SchemaOf = (schema: z.ZodType) => Json

function operationOf(route: Route, facets: readonly string[], schemaOf: SchemaOf): Json {
  const { operationId, summary, permission, request } = route
  const parameters = [
    ...parametersOf('path', schemaOf(request.params), facets),
    ...parametersOf('query', schemaOf(request.query), facets),
  ]
  return {
    operationId,
    summary,
    security: [{ token: permission === null ? [] : [permission] }],
    ...(parameters.length > 0 && { parameters }),
    ...(request.body !== null && { requestBody: requestBodyOf(request.body, schemaOf) }),
    responses: { ...answersOf(route, schemaOf), ...refusalsOf(route, schemaOf) },
  }
}

function parametersOf(place: 'path' | 'query', schema: Json, facets: readonly string[]): Json[] {
  const { properties = {}, required = [] } = z
    .object({
      properties: z.record(z.string(), z.looseObject({ description: z.string().optional() })).optional(),
      required: z.array(z.string()).optional(),
    })
    .parse(schema)
  return Object.entries(properties).flatMap(([name, { description, ...rest }]): Json[] => {
    const told = { ...(description !== undefined && { description }) }
    if (name === 'extras') {
      return facets.map((facet) => ({ name: `extras.${facet}`, in: place, ...told, schema: { type: 'string' } }))
    }
    return [{ name, in: place, required: required.includes(name), ...told, schema: plain(rest) }]
  })
}

function requestBodyOf(body: z.ZodType, schemaOf: SchemaOf): Json {
  const schema = schemaOf(body)
  return {
    required: !body.safeParse({}).success,
    description: 'UTF-8; `Content-Encoding: gzip` is taken.',
    content: { 'application/json': { schema } },
  }
}

function answersOf({ answers }: Route, schemaOf: SchemaOf): Json {
  const entries = Object.entries(answers).map(([status, { description, schema }]) => {
    const content = schema === null ? {} : { content: { 'application/json': { schema: schemaOf(schema) } } }
    return [status, { description, ...content }] as const
  })
  return Object.fromEntries(entries)
}

function refusalsOf(route: Route, schemaOf: SchemaOf): Json {
  const schema = schemaOf(problemDocument)
  const byStatus = new Map<number, ServiceProblemCode[]>()
  for (const code of problemsOf(route)) {
    const status = route.writesRecords ? recordStatus(code) : PROBLEMS[code].status
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const entries = [...byStatus].map(([status, codes]) => {
    const description = codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`).join('\n\n')
    return [String(status), { description, 'x-problems': codes, content: { 'application/problem+json': { schema } } }]
  })
  return Object.fromEntries(entries)
}

/** Every code that the route may answer with. */
export function problemsOf({ problems, permission, request, writesRecords }: Route): readonly ServiceProblemCode[] {
  return [
    ...new Set<ServiceProblemCode>([
      ...ALWAYS,
      ...(permission !== null || writesRecords ? (['permission-missing'] as const) : []),
      ...(writesRecords ? (['backpressure'] as const) : []),
      ...(request.body === null ? [] : OF_BODIES),
      ...problems,
    ]),
  ]
}

const REF = '#/$defs/'

/** Schemas that have an id go into the components. All are of what is sent: readers take every object for open. */
function jsonSchema(schema: z.ZodType, components: Map<string, JsonValue>): Json {
  const wrapped = z.toJSONSchema(z.object({ it: schema }), { io: 'input', unrepresentable: 'any' })
  const { $defs = {}, properties } = z
    .object({ $defs: z.record(z.string(), z.unknown()).optional(), properties: z.object({ it: z.unknown() }) })
    .parse(wrapped)
  for (const [id, definition] of Object.entries($defs)) components.set(id, plain(definition))
  return z.record(z.string(), z.json()).parse(plain(properties.it))
}

/** As JSON, references lead to the components. */
function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value), (key, item: unknown) => {
    if (key === '$ref' && typeof item === 'string') return item.replace(REF, '#/components/schemas/')
    return item
  })
}
