import { z } from 'zod'
import type { NewMetadataRecord } from '../../model/record.ts'
import type { StoreResult } from '../../model/repository.ts'
import { problemBody, ServiceError, type ServiceProblemCode } from '../problems.ts'
import { accessProblem } from '../record-access.ts'
import { recordError } from '../record-problem.ts'
import { BASE_PATH } from '../request.ts'
import { type Call, defineRoute, type Route, type ServiceParts } from '../route.ts'
import {
  BATCH_RECORDS_MAX,
  newRecord,
  newRecords,
  replayed,
  type StoreAnswer,
  stored,
  storeResults,
  uncheckedRecords,
} from '../wire/records.ts'

// Checked by the repository, each by itself: it takes whatever comes.
const anything = z.custom<NewMetadataRecord>()

const RECORD_PROBLEMS: readonly ServiceProblemCode[] = [
  'record-schema-invalid',
  'record-too-large',
  'unknown-kind',
  'unknown-kind-version',
  'produced-at-in-future',
  'wrong-tenant',
  'producer-not-allowed',
  'idempotency-conflict',
  'revision-gap',
  'refused-by-store',
]

const storeRecord = defineRoute({
  operationId: 'storeRecord',
  method: 'POST',
  path: '/records',
  summary: 'Store one fact. What is answered with 201 or 200 is durable.',
  permission: null,
  writesRecords: true,
  body: anything,
  documentedBody: newRecord,
  answers: {
    201: { description: 'Stored. `Location` and `ETag` are of the record.', schema: stored },
    200: { description: 'The same was stored before (`Idempotency-Replayed: true`).', schema: replayed },
  },
  problems: RECORD_PROBLEMS,
  async handle(request, parts) {
    const [result] = await storeAll([request.body], request, parts)
    if (result === undefined) throw new Error('record: expected a result of the store, got none')
    if (result instanceof ServiceError) throw result
    const { recordId } = result
    const headers = { Location: `${BASE_PATH}/records/${recordId}`, ETag: `"${recordId}"` }
    if (result.outcome === 'stored') return { status: 201, headers, body: result }
    return { status: 200, headers: { ...headers, 'Idempotency-Replayed': 'true' }, body: result }
  },
})

const storeRecordBatch = defineRoute({
  operationId: 'storeRecords',
  method: 'POST',
  path: '/records/batch',
  summary: `Store up to ${BATCH_RECORDS_MAX} facts. Each has a result of its own, whatever becomes of the others.`,
  permission: null,
  writesRecords: true,
  body: uncheckedRecords,
  documentedBody: newRecords,
  answers: { 200: { description: 'One result per record, in order; each may be a refusal.', schema: storeResults } },
  problems: ['batch-too-large'],
  async handle(request, parts) {
    const { records } = request.body
    if (records.length > BATCH_RECORDS_MAX) {
      const detail = `records: expected at most ${BATCH_RECORDS_MAX}, got ${records.length}`
      throw new ServiceError('batch-too-large', detail)
    }
    const results = await storeAll(
      records.map((record) => anything.parse(record)),
      request,
      parts,
    )
    const body = results.map(
      (result): StoreAnswer =>
        result instanceof ServiceError ? { outcome: 'refused', problem: problemBody(result) } : result,
    )
    return { status: 200, body: { results: body } }
  },
})

export const WRITE_ROUTES: readonly Route[] = [storeRecord, storeRecordBatch]

type Stored = Exclude<StoreResult, { readonly outcome: 'refused' }>

/** In the order of the records. What the token may not write is not shown to the store. */
async function storeAll(
  records: readonly NewMetadataRecord[],
  { caller, log }: Call,
  { repositoryOf, announce }: ServiceParts,
): Promise<readonly (Stored | ServiceError)[]> {
  const judged = records.map((record) => accessProblem(caller, record))
  const allowed = records.filter((_, index) => judged[index] === null)
  const results = await (await repositoryOf(caller.tenant)).bulkStore(allowed)
  if (results.some(({ outcome }) => outcome === 'stored')) await announce()
  let next = 0
  return judged.map((refusal) => {
    if (refusal !== null) return refusal
    const result = results[next++]
    if (result === undefined) throw new Error(`records: expected ${allowed.length} results, got ${results.length}`)
    if (result.outcome !== 'refused') return result
    if (result.problem.code === 'refused-by-store') log.warn('metadata_record_refused', { ...result.problem })
    return recordError(result.problem, result.recordId)
  })
}
