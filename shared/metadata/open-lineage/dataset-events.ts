import { z } from 'zod'
import type { MetadataRecord } from '../model/record.ts'
import { type DatasetEvent, datasetEvent, type Facet, type Facets, facet, ownFacet } from './event.ts'
import { datasetOf, type Naming } from './naming.ts'

const snapshot = z.looseObject({
  columns: z.array(z.looseObject({ name: z.string(), type: z.string(), comment: z.string().optional() })),
})

const bound = z.union([z.number(), z.string()]).optional()

const statistics = z.looseObject({
  rows: z.number(),
  bytes: z.number().optional(),
  files: z.number().optional(),
  columns: z
    .array(
      z.looseObject({
        name: z.string(),
        nulls: z.number().optional(),
        distinct: z.number().optional(),
        min: bound,
        max: bound,
      }),
    )
    .default([]),
})

const diff = z.looseObject({
  severity: z.string(),
  fingerprint: z.string(),
  changes: z.array(z.looseObject({ change: z.string() })),
})

const FACETS: ReadonlyMap<string, (payload: unknown) => Facets | null> = new Map([
  ['schema_snapshot', schemaFacets],
  ['statistics_snapshot', statisticsFacets],
  ['catalog_diff', diffFacets],
])

/** Null where the record says nothing about a dataset by itself. */
export function datasetEventOf(record: MetadataRecord, naming: Naming): DatasetEvent | null {
  const facets = FACETS.get(record.kind)?.(record.payload) ?? null
  if (facets === null) return null
  return datasetEvent({
    eventTime: record.producedAt,
    dataset: { ...datasetOf(record, record.target, naming), facets },
  })
}

function schemaFacets(payload: unknown): Facets | null {
  const { data } = snapshot.safeParse(payload)
  if (data === undefined) return null
  const fields = data.columns.map(({ name, type, comment }, place) => ({
    name,
    type,
    ...(comment !== undefined && { description: comment }),
    ordinal_position: place + 1,
  }))
  return { schema: facet('1-2-0/SchemaDatasetFacet', { fields }) }
}

function statisticsFacets(payload: unknown): Facets | null {
  const { data } = statistics.safeParse(payload)
  if (data === undefined) return null
  const { rows, bytes, files, columns } = data
  const metrics = columns.map(({ name, nulls, distinct, min, max }): [string, Facet] => [
    name,
    {
      ...(nulls !== undefined && { nullCount: nulls }),
      ...(distinct !== undefined && { distinctCount: distinct }),
      // Numbers only there; texts are our decimals and large integers.
      ...(typeof min === 'number' && { min }),
      ...(typeof max === 'number' && { max }),
    },
  ])
  return {
    dataQualityMetrics: facet('1-0-0/DataQualityMetricsDatasetFacet', {
      rowCount: rows,
      ...(bytes !== undefined && { bytes }),
      ...(files !== undefined && { fileCount: files }),
      columnMetrics: Object.fromEntries(metrics),
    }),
  }
}

function diffFacets(payload: unknown): Facets | null {
  const { data } = diff.safeParse(payload)
  if (data === undefined) return null
  const { severity, fingerprint, changes } = data
  const dropped = changes.some(({ change }) => change === 'table_dropped')
  return {
    lifecycleStateChange: facet('1-0-1/LifecycleStateChangeDatasetFacet', {
      lifecycleStateChange: dropped ? 'DROP' : 'ALTER',
    }),
    tributary_catalogDiff: ownFacet('catalogDiff', {
      severity,
      fingerprint,
      changes: JSON.parse(JSON.stringify(changes)),
    }),
  }
}
