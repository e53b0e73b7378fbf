import { z } from 'zod'
import { normalInstant } from '../model/instant-text.ts'
import { type MetadataRecord, metadataContext, newMetadataRecord, TENANT_NAME } from '../model/record.ts'

/** One line of the log: the record as every repository gives it, and whose it is. */
export type LoggedRecord = { readonly tenant: string; readonly record: MetadataRecord }

const name = z.string().optional()
const tenant = z.string().regex(TENANT_NAME)

// Open for readers: what a later writer adds is left out.
const loggedRecord = z.object({
  ...newMetadataRecord.shape,
  tenant,
  context: metadataContext.extend({ environment: z.object({ cluster: name, workspace: name, tenant }) }),
  recordId: z.uuid(),
  effectiveAt: normalInstant,
  storedAt: normalInstant,
})

export function logLine({ tenant, record }: LoggedRecord): string {
  return `${JSON.stringify({ tenant, ...record })}\n`
}

/** Null: not JSON, a line that was cut. Throws where it is JSON, but no record. */
export function readLogLine(line: string): LoggedRecord | null {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    return null
  }
  const { tenant, ...record } = loggedRecord.parse(json)
  return { tenant, record }
}
