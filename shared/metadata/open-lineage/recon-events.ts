import { z } from 'zod'
import type { JsonValue } from '../../json.ts'
import type { MetadataRecord } from '../model/record.ts'
import { facet, type RunEvent, runEvent } from './event.ts'
import { parentFacet, runFacets } from './ingestion-events.ts'
import { datasetOf, jobName, jobNamespace, type Naming } from './naming.ts'

const measured = z.number().nullable()

const result = z.looseObject({
  check: z.string(),
  metric: z.string(),
  observed: measured,
  expected: measured,
  thresholds: z.record(z.string(), z.json()).optional(),
  band: z.looseObject({ method: z.string(), mode: z.string(), points: z.number() }).optional(),
  detail: z.string().optional(),
})

type Result = z.output<typeof result>

const STATUS: ReadonlyMap<string | undefined, 'pass' | 'fail'> = new Map([
  ['pass', 'pass'],
  ['warn', 'fail'],
  ['fail', 'fail'],
])

/**
 * A check, as a run of its own that read what it checked: a run belongs to one job there, while one of ours checks many
 * targets. What could not be decided is a test that was skipped, and asserts nothing.
 */
export function reconEvents(record: MetadataRecord, naming: Naming): readonly RunEvent[] {
  const parsed = result.safeParse(record.payload)
  if (!parsed.success) return []
  const { data } = parsed
  const { context, target, links, outcome, producedAt, recordId } = record
  const status = STATUS.get(outcome)
  const severity = outcome === 'warn' ? 'warn' : 'error'
  const told = { ...measuredAs(data), ...paramsOf(record, data) }
  const test = { name: data.metric, type: data.check, status: status ?? 'skip', severity, ...told }
  const assertion = { assertion: data.check, success: status === 'pass', severity, name: data.metric, ...told }
  const inputs = (links?.inputs ?? [target]).map((one) => ({
    ...datasetOf(record, one, naming),
    ...(status !== undefined && {
      inputFacets: {
        dataQualityAssertions: facet('1-1-0/DataQualityAssertionsDatasetFacet', { assertions: [assertion] }),
      },
    }),
  }))
  const facets = {
    ...runFacets(record),
    ...(context.runId !== undefined && {
      parent: parentFacet(record, context.runId, context.jobId ?? `${context.namespace}.run`),
    }),
    test: facet('1-0-1/TestRunFacet', { tests: [test] }),
  }
  const job = {
    namespace: jobNamespace(record),
    name: jobName('recon', target),
    facets: { jobType: facet('2-0-3/JobTypeJobFacet', JOB_TYPE) },
  }
  const parts = { eventTime: producedAt, run: { runId: recordId, facets }, job, inputs, outputs: [] }
  return [runEvent({ eventType: 'START', ...parts }), runEvent({ eventType: 'COMPLETE', ...parts })]
}

const JOB_TYPE = { processingType: 'BATCH', integration: 'TRIBUTARY', jobType: 'RECON' }

function measuredAs({ observed, expected, detail }: Result) {
  return {
    ...(expected !== null && { expected: String(expected) }),
    ...(observed !== null && { actual: String(observed) }),
    ...(detail !== undefined && { description: detail }),
  }
}

function paramsOf({ scope, outcome }: MetadataRecord, { band, thresholds }: Result): { params: JsonValue } {
  return {
    params: {
      ...(outcome !== undefined && { outcome }),
      ...(scope !== '' && { scope }),
      ...(band && { method: band.method, mode: band.mode, n: band.points }),
      ...(thresholds && { thresholds }),
    },
  }
}
