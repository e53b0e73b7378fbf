import { z } from 'zod'
import type { JsonValue } from '../../json.ts'
import type { MetadataRecord } from '../model/record.ts'
import { type Facets, facet, type RunEvent, runEvent } from './event.ts'
import { datasetOf, jobName, jobNamespace, type Naming, openLineageRunId, providedBy } from './naming.ts'

// Open, as every reader is: what a later version adds is not looked at.
const runtime = z.looseObject({
  startedAt: z.string().optional(),
  finishedAt: z.string(),
  error: z.looseObject({ class: z.string(), summary: z.string().optional() }).optional(),
})

const volume = z.looseObject({
  records: z.number(),
  inserted: z.number(),
  updated: z.number(),
  bytes: z.number().optional(),
  pages: z.number().optional(),
  files: z.number().optional(),
  filter: z.record(z.string(), z.json()).optional(),
})

const CONDITIONS_MAX = 20

/** What is known of the end of one run. */
export type EndedRun = {
  readonly runtime: MetadataRecord | null
  readonly volume: MetadataRecord | null
}

/**
 * START and COMPLETE, or START and FAIL, of a run that has ended: nothing is told before. Datasets are on both, since
 * some receivers read the last event only. A volume alone is a run that went well.
 */
export function ingestionEvents(ended: EndedRun, naming: Naming): readonly RunEvent[] {
  const record = ended.runtime ?? ended.volume
  if (record === null || record.context.runId === undefined) return []
  const ran = runtime.safeParse(ended.runtime?.payload)
  const { data: brought } = volume.safeParse(ended.volume?.payload)
  const failed = ended.runtime?.outcome === 'fail'
  const endedAt = ran.data?.finishedAt ?? record.producedAt
  const inputs = sourcesOf(record, naming).map((dataset, place) => ({
    ...dataset,
    ...(place === 0 && brought !== undefined && { inputFacets: inputFacets(brought) }),
  }))
  const outputs = (record.links?.outputs ?? [record.target]).map((target, place) => ({
    ...datasetOf(record, target, naming),
    ...(place === 0 && brought !== undefined && { outputFacets: outputFacets(brought) }),
  }))
  const run = { runId: openLineageRunId(record.context.environment.tenant, record.context.runId) }
  const job = {
    namespace: jobNamespace(record),
    name: jobName('ingest', record.target),
    facets: { jobType: facet('2-0-3/JobTypeJobFacet', JOB_TYPE) },
  }
  const error = failed ? errorFacet(ran.data?.error) : {}
  const end = { run: { ...run, facets: { ...runFacets(record), ...error } }, job, inputs, outputs }
  const start = { ...end, run: { ...run, facets: runFacets(record) } }
  return [
    runEvent({ eventType: 'START', eventTime: ran.data?.startedAt ?? endedAt, ...start }),
    runEvent({ eventType: failed ? 'FAIL' : 'COMPLETE', eventTime: endedAt, ...end }),
  ]
}

const JOB_TYPE = { processingType: 'BATCH', integration: 'TRIBUTARY', jobType: 'INGEST' }

function sourcesOf(record: MetadataRecord, naming: Naming) {
  const { inputs = [] } = record.links ?? {}
  return inputs.length > 0 ? inputs.map((target) => datasetOf(record, target, naming)) : [providedBy(record.target)]
}

/** Of a run that any record tells about. */
export function runFacets(record: MetadataRecord): Facets {
  const { window, links, context, extras, quality } = record
  const lane = extras?.lane
  const tags = [
    { key: 'quality', value: quality, source: 'TRIBUTARY' },
    ...(typeof lane === 'string' ? [{ key: 'lane', value: lane, source: 'TRIBUTARY' }] : []),
  ]
  const parent = links?.parent
  return {
    ...(window && {
      nominalTime: facet('1-0-1/NominalTimeRunFacet', { nominalStartTime: window.start, nominalEndTime: window.end }),
    }),
    ...(parent !== undefined && {
      parent: parentFacet(record, parent, `${context.namespace}.parent`),
    }),
    tags: facet('1-0-0/TagsRunFacet', { tags }),
  }
}

/** A parent must have a job, which we do not know: named by where its runs are counted. */
export function parentFacet(record: MetadataRecord, runId: string, name: string) {
  const { tenant } = record.context.environment
  return facet('1-1-0/ParentRunFacet', {
    run: { runId: openLineageRunId(tenant, runId) },
    job: { namespace: jobNamespace(record), name },
  })
}

function errorFacet(error: { readonly class: string; readonly summary?: string | undefined } | undefined): Facets {
  const message = error === undefined ? 'failed' : [error.class, error.summary].filter(Boolean).join(': ')
  return { errorMessage: facet('1-0-1/ErrorMessageRunFacet', { message, programmingLanguage: 'typescript' }) }
}

type Volume = z.output<typeof volume>

function inputFacets({ records, bytes, pages, filter }: Volume): Facets {
  const condition = filter && conditionOf(filter)
  return {
    inputStatistics: facet('1-0-0/InputStatisticsInputDatasetFacet', {
      rowCount: records,
      ...(bytes !== undefined && { size: bytes }),
      ...(pages !== undefined && { fileCount: pages }),
    }),
    ...(condition && { subset: subsetFacet(condition) }),
  }
}

function outputFacets({ inserted, updated, files }: Volume): Facets {
  return {
    outputStatistics: facet('1-0-2/OutputStatisticsOutputDatasetFacet', {
      rowCount: inserted + updated,
      ...(files !== undefined && { fileCount: files }),
    }),
  }
}

function subsetFacet(inputCondition: JsonValue) {
  const { _schemaURL: _, ...rest } = facet('1-0-0/BaseSubsetDatasetFacet', { inputCondition })
  const url = 'https://openlineage.io/spec/facets/1-0-0/BaseSubsetDatasetFacet.json#/$defs/InputSubsetInputDatasetFacet'
  return { ...rest, _schemaURL: url }
}

/** `a = 1 and b = 2` as the tree of comparisons that the facet is. */
function conditionOf(filter: Readonly<Record<string, JsonValue>>): JsonValue | undefined {
  const [first, ...rest] = Object.entries(filter)
    .slice(0, CONDITIONS_MAX)
    .map(([field, value]) => compare(field, value))
  return first && rest.reduce<JsonValue>((left, right) => ({ type: 'binary', operator: 'AND', left, right }), first)
}

function compare(field: string, value: JsonValue): JsonValue {
  const literal = typeof value === 'string' ? value : JSON.stringify(value)
  const [left, right] = [
    { type: 'field', field },
    { type: 'literal', value: literal },
  ]
  return { type: 'compare', comparison: 'EQUAL', left, right }
}
