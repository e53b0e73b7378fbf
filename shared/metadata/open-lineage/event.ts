import type { JsonValue } from '../../json.ts'

/** OpenLineage 2-0-2: https://openlineage.io/spec/2-0-2/OpenLineage.json */
const SPEC = 'https://openlineage.io/spec'
const EVENTS = `${SPEC}/2-0-2/OpenLineage.json`

/** Whose metadata it is. A name and no place: deployments have no public address. */
export const PRODUCER = 'urn:tributary:metadata'

export type Facet = { readonly [name: string]: JsonValue }
export type Facets = { readonly [name: string]: Facet }

export type OpenLineageDataset = {
  readonly namespace: string
  readonly name: string
  readonly facets?: Facets
}

export type OpenLineageJob = { readonly namespace: string; readonly name: string; readonly facets?: Facets }

export type RunEvent = {
  readonly eventType: 'START' | 'COMPLETE' | 'FAIL'
  readonly eventTime: string
  readonly producer: string
  readonly schemaURL: string
  readonly run: { readonly runId: string; readonly facets?: Facets }
  readonly job: OpenLineageJob
  readonly inputs: readonly (OpenLineageDataset & { readonly inputFacets?: Facets })[]
  readonly outputs: readonly (OpenLineageDataset & { readonly outputFacets?: Facets })[]
}

export type DatasetEvent = {
  readonly eventTime: string
  readonly producer: string
  readonly schemaURL: string
  readonly dataset: OpenLineageDataset
}

export type LineageEvent = RunEvent | DatasetEvent

export function runEvent(parts: Omit<RunEvent, 'producer' | 'schemaURL'>): RunEvent {
  return { ...parts, producer: PRODUCER, schemaURL: `${EVENTS}#/$defs/RunEvent` }
}

export function datasetEvent(parts: Omit<DatasetEvent, 'producer' | 'schemaURL'>): DatasetEvent {
  return { ...parts, producer: PRODUCER, schemaURL: `${EVENTS}#/$defs/DatasetEvent` }
}

/** A facet of the specification: `1-0-1/NominalTimeRunFacet`. */
export function facet(schema: string, parts: Facet): Facet {
  const [, name = schema] = schema.split('/')
  return { _producer: PRODUCER, _schemaURL: `${SPEC}/facets/${schema}.json#/$defs/${name}`, ...parts }
}

/** One of our own, whose name carries our prefix. */
export function ownFacet(name: string, parts: Facet): Facet {
  return { _producer: PRODUCER, _schemaURL: `urn:tributary:open-lineage:${name}:1-0-0`, ...parts }
}

const EVENT_BYTES_MAX = 1_000_000

/** As JSON; of an event that receivers refuse for its size only what names it: facets are what is large in it. */
export function eventText(event: LineageEvent): string {
  const text = JSON.stringify(event)
  if (Buffer.byteLength(text) <= EVENT_BYTES_MAX) return text
  return JSON.stringify(event, (name, value: unknown) => (/^(?:input|output)?facets$/i.test(name) ? undefined : value))
}
