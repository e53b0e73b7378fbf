import { z } from 'zod'
import { formatInstant, type Instant, parseInstant } from '../../../instant.ts'
import { instant } from '../../model/instant-text.ts'
import { jsonObject } from '../../model/record.ts'
import { kindBehaviour } from '../../registry/behaviour.ts'
import type { KindVersion, RegistryProblem, RegistryResult } from '../../registry/kind-version.ts'
import { ServiceError } from '../problems.ts'
import { BASE_PATH } from '../request.ts'
import { defineRoute, type Route } from '../route.ts'
import { instantOut } from '../wire/records.ts'

const kindName = z.string().max(100)
const versionName = z.string().max(20)
const state = z.enum(['draft', 'published', 'deprecated'])

const kindSummary = z
  .object({
    kind: z.string(),
    builtIn: z.boolean().describe('comes with the platform: nobody else registers versions of it'),
    versions: z
      .array(z.object({ version: z.string(), state, sunsetAt: instantOut.nullable() }))
      .describe('oldest first'),
  })
  .meta({ id: 'Kind' })

const kindVersion = z
  .object({
    kind: z.string(),
    version: z.string().describe('major.minor'),
    state,
    builtIn: z.boolean(),
    schema: jsonObject.describe('of the payload: JSON Schema 2020-12. Closed for writers, open for readers'),
    behaviour: kindBehaviour,
    createdBy: z.string().nullable(),
    publishedAt: instantOut.nullable(),
    sunsetAt: instantOut.nullable().describe('from then on it may be read only; null: it may be written for ever'),
  })
  .meta({ id: 'KindVersion' })

const difference = z
  .object({
    pointer: z.string().describe('into the newer schema; of what is gone, into the older one'),
    change: z.string(),
    verdict: z.enum(['minor', 'major', 'never']),
    against: z.string().describe('the version that it differs from'),
  })
  .meta({ id: 'SchemaDifference' })

const registration = z
  .object({
    accepted: z.boolean(),
    detail: z.string().nullable().describe('why not'),
    differences: z.array(difference),
    version: kindVersion.nullable().describe('null in a dry run'),
    created: z.boolean().describe('false: it was there already, the same'),
  })
  .meta({ id: 'Registration' })

const listKinds = defineRoute({
  operationId: 'listKinds',
  method: 'GET',
  path: '/kinds',
  summary: 'Kinds that records can be of.',
  permission: null,
  answers: { 200: { description: 'Those of the platform first.', schema: z.object({ kinds: z.array(kindSummary) }) } },
  problems: [],
  async handle(_request, { registry }) {
    const kinds = await registry.kinds()
    const body = kinds.map((kind) => ({
      ...kind,
      versions: kind.versions.map((version) => ({ ...version, sunsetAt: text(version.sunsetAt) })),
    }))
    return { status: 200, body: { kinds: body } }
  },
})

const listVersions = defineRoute({
  operationId: 'listKindVersions',
  method: 'GET',
  path: '/kinds/{kind}/versions',
  summary: 'All versions of a kind, with their schemas.',
  permission: null,
  params: z.strictObject({ kind: kindName }),
  answers: { 200: { description: 'Oldest first.', schema: z.object({ versions: z.array(kindVersion) }) } },
  problems: ['unknown-kind'],
  async handle({ params }, { registry }) {
    const versions = resultOf(await registry.versions(params.kind))
    return { status: 200, body: { versions: versions.map(shown) } }
  },
})

const getVersion = defineRoute({
  operationId: 'getKindVersion',
  method: 'GET',
  path: '/kinds/{kind}/versions/{version}',
  summary: 'One version of a kind, with its schema.',
  permission: null,
  params: z.strictObject({ kind: kindName, version: versionName }),
  answers: { 200: { description: 'The version.', schema: kindVersion } },
  problems: ['unknown-kind', 'unknown-kind-version'],
  async handle({ params }, { registry }) {
    return { status: 200, body: shown(resultOf(await registry.version(params.kind, params.version))) }
  },
})

const registerVersion = defineRoute({
  operationId: 'registerKindVersion',
  method: 'POST',
  path: '/kinds/{kind}/versions',
  summary: 'Register a version: before it is written, and for ever once it is published.',
  permission: 'kinds:write',
  params: z.strictObject({ kind: kindName }),
  query: z.strictObject({
    dryRun: z.enum(['true', 'false']).optional().describe('list the differences, keep nothing'),
  }),
  body: z.strictObject({
    version: versionName,
    schema: jsonObject.describe('JSON Schema 2020-12 of the payload, of listed keywords only'),
    behaviour: jsonObject.optional().describe('outcomes, hot days, numbers that roll up, extras to filter by'),
    state: z.enum(['draft', 'published']).optional().describe('published if not named'),
  }),
  answers: {
    201: { description: 'Registered.', schema: registration },
    200: { description: 'A dry run, or it was there already, the same.', schema: registration },
  },
  problems: ['schema-invalid', 'schema-incompatible', 'schema-immutable', 'kind-reserved'],
  async handle({ params: { kind }, query, body, caller }, { registry, kinds }) {
    const dryRun = query.dryRun === 'true'
    const done = resultOf(await registry.register({ kind, ...body }, { createdBy: caller.subject, dryRun }))
    if (done.created) await kinds.reload()
    const answer = { ...done, version: done.version === null ? null : shown(done.version) }
    if (!done.created || dryRun) return { status: 200, body: answer }
    return { status: 201, headers: { Location: `${BASE_PATH}/kinds/${kind}/versions/${body.version}` }, body: answer }
  },
})

const publishVersion = defineRoute({
  operationId: 'publishKindVersion',
  method: 'POST',
  path: '/kinds/{kind}/versions/{version}/publish',
  summary: 'Make a draft a version that may be written. It is never changed again.',
  permission: 'kinds:write',
  params: z.strictObject({ kind: kindName, version: versionName }),
  answers: { 200: { description: 'Published, now or before.', schema: kindVersion } },
  problems: ['unknown-kind', 'unknown-kind-version', 'schema-incompatible', 'schema-immutable', 'kind-reserved'],
  async handle({ params }, { registry, kinds }) {
    const published = resultOf(await registry.publish(params.kind, params.version))
    await kinds.reload()
    return { status: 200, body: shown(published) }
  },
})

const deprecateVersion = defineRoute({
  operationId: 'deprecateKindVersion',
  method: 'POST',
  path: '/kinds/{kind}/versions/{version}/deprecate',
  summary: 'Name the day from which a version may be read only.',
  permission: 'kinds:write',
  params: z.strictObject({ kind: kindName, version: versionName }),
  body: z.strictObject({ sunsetAt: instant }),
  answers: { 200: { description: 'Deprecated.', schema: kindVersion } },
  problems: ['unknown-kind', 'unknown-kind-version', 'schema-immutable', 'kind-reserved', 'schema-invalid'],
  async handle({ params, body }, { registry, kinds }) {
    const sunsetAt = parseInstant(body.sunsetAt)
    if (sunsetAt === undefined) throw new Error('sunsetAt: expected an instant that its schema let pass')
    const deprecated = resultOf(await registry.deprecate(params.kind, params.version, sunsetAt))
    await kinds.reload()
    return { status: 200, body: shown(deprecated) }
  },
})

export const KIND_ROUTES: readonly Route[] = [
  listKinds,
  listVersions,
  getVersion,
  registerVersion,
  publishVersion,
  deprecateVersion,
]

function resultOf<Value>(result: RegistryResult<Value>): Value {
  if (result.ok) return result.value
  throw registryError(result.problem)
}

function registryError({ code, detail, errors, differences }: RegistryProblem): ServiceError {
  return new ServiceError(code, {
    detail,
    ...(errors.length > 0 && { errors: [...errors] }),
    ...(differences.length > 0 && { differences: [...differences] }),
  })
}

function shown(version: KindVersion) {
  return { ...version, publishedAt: text(version.publishedAt), sunsetAt: text(version.sunsetAt) }
}

function text(at: Instant | null): string | null {
  return at === null ? null : formatInstant(at)
}
