import { z } from 'zod'
import type { Instant } from '../../instant.ts'
import { instantText } from '../model/instant-text.ts'
import { jsonObject, type MetadataLinks, type MetadataRecord } from '../model/record.ts'

/** As the statements that read records give it. */
export type StoredRow = {
  readonly recordId: string
  readonly sourceId: string
  readonly schemaName: string
  readonly tableName: string
  readonly kind: string
  readonly kindVersion: string
  readonly scope: string
  readonly effectiveAt: Instant
  readonly orderedAt: Instant
  readonly revision: number
  readonly producerId: string
  readonly jobId: string | null
  readonly runId: string | null
  readonly windowStart: Instant | null
  readonly windowEnd: Instant | null
  readonly outcome: string | null
  readonly quality: MetadataRecord['quality']
  readonly producedAt: Instant
  readonly storedAt: Instant
  readonly body: string
  /** Of a schema snapshot. */
  readonly columns: string | null
}

// Checked when it was stored, and written by `storeBatch` alone: here only its shape.
const storedBody = z.object({
  payload: jsonObject,
  context: z.object({
    namespace: z.string(),
    environment: z.object({ cluster: z.string().optional(), workspace: z.string().optional(), tenant: z.string() }),
    extras: jsonObject.optional(),
  }),
  links: z.custom<MetadataLinks>((value) => typeof value === 'object' && value !== null).optional(),
  extras: jsonObject.optional(),
  key: z.string().optional(),
  targetExtras: jsonObject.optional(),
})

const storedColumns = z.array(z.custom<z.core.util.JSONType>())

export function toRecord(row: StoredRow): MetadataRecord {
  const { payload, context, links, extras, key, targetExtras } = storedBody.parse(JSON.parse(row.body))
  return {
    recordId: row.recordId,
    target: {
      sourceId: row.sourceId,
      schema: row.schemaName,
      table: row.tableName,
      ...(targetExtras && { extras: targetExtras }),
    },
    context: {
      ...context,
      ...(row.jobId !== null && { jobId: row.jobId }),
      ...(row.runId !== null && { runId: row.runId }),
    },
    kind: row.kind,
    kindVersion: row.kindVersion,
    scope: row.scope,
    ...(row.windowStart !== null &&
      row.windowEnd !== null && { window: { start: instantText(row.windowStart), end: instantText(row.windowEnd) } }),
    payload: row.columns === null ? payload : { ...payload, columns: storedColumns.parse(JSON.parse(row.columns)) },
    ...(row.outcome !== null && { outcome: row.outcome }),
    producedAt: instantText(row.producedAt),
    producerId: row.producerId,
    revision: row.revision,
    quality: row.quality,
    ...(links && { links }),
    ...(extras && { extras }),
    ...(key !== undefined && { key }),
    effectiveAt: instantText(row.effectiveAt),
    storedAt: instantText(row.storedAt),
  }
}
