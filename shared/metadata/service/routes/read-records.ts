import { z } from 'zod'
import type { MetadataRepository, PageRequest, RecordFilter, RecordPage, Series } from '../../model/repository.ts'
import { type FoundLatest, readLatestOfMany } from '../../postgres/latest-of-many.ts'
import { readRecord } from '../../postgres/record-by-id.ts'
import { overlappingFiles } from '../../retention/overlapping-files.ts'
import { isCurrent } from '../etag.ts'
import { isKind, needKind, optionalTarget, pageParameters, targetOf, targetParameters } from '../parameters.ts'
import { ServiceError } from '../problems.ts'
import { BASE_PATH } from '../request.ts'
import { defineRoute, type Route } from '../route.ts'
import {
  type LatestAnswer,
  latestQuery,
  latestRecord,
  latestResults,
  metadataRecord,
  recordPage,
  SERIES_MAX,
} from '../wire/records.ts'

const name = z.string().min(1).max(256)
const scope = z.string().max(256)
/** A record never changes: whoever has it need not ask again. */
const FOR_A_YEAR = { 'Cache-Control': 'private, max-age=31536000' }
const NOT_MODIFIED = { description: 'What the caller has is current.', schema: null }

const getLatest = defineRoute({
  operationId: 'getLatestRecord',
  method: 'GET',
  path: '/records/latest',
  summary: 'The latest record of a series: of a target, a kind and a scope.',
  permission: 'records:read',
  query: z.strictObject({ ...targetParameters, kind: name, scope: scope.default('') }),
  answers: {
    200: { description: 'The record, and where those before it are.', schema: latestRecord },
    304: NOT_MODIFIED,
  },
  problems: ['no-record', 'unknown-kind'],
  async handle({ query, caller, request }, { db, kinds }) {
    const { kind, scope, sourceId, schema, table } = query
    const series = { target: { sourceId, schema, table }, kind, scope }
    await needKind(kinds, kind)
    const [found] = await readLatestOfMany(db, caller.tenant, [series])
    if (!found)
      throw new ServiceError('no-record', `latest ${kind}: expected a record of this target and scope, got none`)
    // Weak: the day since when records are hot moves on without it.
    const headers = { ETag: `W/"${found.record.recordId}.${found.changeNo}"` }
    if (isCurrent(request, headers.ETag)) return { status: 304, headers }
    return { status: 200, headers, body: latestAnswer(series, found) }
  },
})

const queryLatest = defineRoute({
  operationId: 'queryLatestRecords',
  method: 'POST',
  path: '/records/latest/query',
  summary: `The latest records of up to ${SERIES_MAX} series, in one question.`,
  permission: 'records:read',
  body: latestQuery,
  answers: { 200: { description: 'One result per series, in order.', schema: latestResults } },
  problems: [],
  async handle({ body: { series }, caller }, { db, kinds }) {
    const known = new Map<string, boolean>()
    for (const kind of new Set(series.map(({ kind }) => kind))) known.set(kind, await isKind(kinds, kind))
    const found = await readLatestOfMany(db, caller.tenant, series)
    const results = series.map((one, index) => {
      if (!known.get(one.kind)) return { outcome: 'unknown-kind' }
      const latest = found[index]
      return latest ? { outcome: 'found', ...latestAnswer(one, latest) } : { outcome: 'no-record' }
    })
    return { status: 200, body: { results } }
  },
})

const listRecords = defineRoute({
  operationId: 'listRecords',
  method: 'GET',
  path: '/records',
  summary: 'Records by whatever they are known by, newest first. Never a total: a count is a scan.',
  permission: 'records:read',
  query: z.strictObject({
    kind: name.optional(),
    ...optionalTarget,
    scope: scope.optional(),
    runId: name.optional(),
    jobId: name.optional(),
    producerId: name.optional(),
    outcome: name.optional(),
    from: name.optional().describe('effective time, inclusive'),
    to: name.optional().describe('effective time, exclusive'),
    windowFrom: name.optional().describe('records whose window begins here or later'),
    windowTo: name.optional().describe('records whose window ends here or earlier'),
    extras: z.record(z.string(), z.string().max(256)).optional().describe('of extras that the kind declares'),
    ...pageParameters,
  }),
  answers: { 200: { description: 'A page; files that hold older ones are named.', schema: recordPage } },
  problems: ['unknown-kind', 'malformed-cursor', 'cursor-mismatch'],
  async handle({ query, caller }, { db, kinds, repositoryOf }) {
    const { limit, cursor, sourceId, schema, table, ...filter } = query
    if (filter.kind !== undefined) await needKind(kinds, filter.kind)
    const target = targetOf({ sourceId, schema, table })
    const page = await listPage(await repositoryOf(caller.tenant), { ...filter, target }, { limit, after: cursor })
    const { kind = null, from = null, to = null } = filter
    const compacted = await overlappingFiles(db, caller.tenant, kind, from, to)
    return { status: 200, body: { ...page, compacted } }
  },
})

const getRecord = defineRoute({
  operationId: 'getRecord',
  method: 'GET',
  path: '/records/{recordId}',
  summary: 'One record. It never changes.',
  permission: 'records:read',
  params: z.strictObject({ recordId: z.string().max(100) }),
  answers: {
    200: { description: 'The record.', schema: metadataRecord },
    304: NOT_MODIFIED,
  },
  problems: ['no-record'],
  async handle({ params: { recordId }, caller, request }, { db }) {
    const known = z.uuid().safeParse(recordId).success
    const record = known ? await readRecord(db, caller.tenant, recordId) : null
    if (record === null) throw new ServiceError('no-record', 'record: expected one of this tenant, got none of this id')
    const headers = { ETag: `"${record.recordId}"`, ...FOR_A_YEAR }
    if (isCurrent(request, headers.ETag)) return { status: 304, headers }
    return { status: 200, headers, body: record }
  },
})

export const READ_ROUTES: readonly Route[] = [getLatest, queryLatest, listRecords, getRecord]

/** What is asked of one series and nothing else is its history: in the order in which `latest` is found. */
function listPage(repository: MetadataRepository, filter: RecordFilter, page: PageRequest): Promise<RecordPage> {
  const { target, kind, scope, ...others } = filter
  const isSeries = Object.values(others).every((condition) => condition === undefined)
  if (isSeries && target && kind !== undefined && scope !== undefined) {
    return repository.history({ target, kind, scope }, page)
  }
  return repository.query(filter, page)
}

function latestAnswer({ target, kind, scope = '' }: Series, { record, changeNo, hotSince }: FoundLatest): LatestAnswer {
  const { sourceId, schema, table } = target
  const parameters = new URLSearchParams({ sourceId, schema, table, kind, scope })
  return { record, changeNo, history: { href: `${BASE_PATH}/records?${parameters}`, hotSince } }
}
