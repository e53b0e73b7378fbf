import { createHash } from 'node:crypto'
import { z } from 'zod'
import { canonicalJson } from '../../json.ts'
import type { MetadataRecord } from '../model/record.ts'
import type { Series } from '../model/repository.ts'
import type { OpenLineageDataset } from './event.ts'

/** How things are called there: namespaces tell deployments and tenants apart. */
export type Naming = {
  /** Of the tables that we hold (`abfss://curated@account.dfs.core.windows.net`); absent: `tributary://<tenant>`. */
  readonly datasetNamespace?: string | undefined
}

export function datasetOf(record: MetadataRecord, target: Series['target'], naming: Naming): OpenLineageDataset {
  const { sourceId, schema, table } = target
  const namespace = naming.datasetNamespace ?? `tributary://${record.context.environment.tenant}`
  return { namespace, name: `${sourceId}.${schema}.${table}` }
}

/** What a load read, where its links do not say it: the provider's side of the same table. */
export function providedBy({ sourceId, schema, table }: Series['target']): OpenLineageDataset {
  return { namespace: `provider://${sourceId}`, name: `${schema}.${table}` }
}

export function jobNamespace({ context }: MetadataRecord): string {
  const { tenant, workspace, cluster } = context.environment
  return `${tenant}/${workspace ?? cluster ?? 'default'}`
}

export function jobName(work: 'ingest' | 'recon', { sourceId, schema, table }: Series['target']): string {
  return `${work}.${sourceId}.${schema}.${table}`
}

/**
 * Run ids must be UUIDs there. Ours that are none become one that is the same wherever the run is named, also as a
 * parent, of which only the id is known: version 7 as OpenLineage's `generate_static_uuid` makes it, at the instant 0.
 */
export function openLineageRunId(tenant: string, runId: string): string {
  if (z.uuid().safeParse(runId).success) return runId.toLowerCase()
  const data = canonicalJson([tenant, runId])
  const hash = createHash('sha1').update(`1970-01-01T00:00:00+00:00${data}`).digest()
  const bytes = Buffer.concat([Buffer.alloc(6), hash.subarray(0, 10)])
  bytes.writeUInt8(0x70 | (bytes.readUInt8(6) & 0x0f), 6)
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
