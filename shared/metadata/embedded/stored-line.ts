import { z } from 'zod'
import { PermanentError } from '../../errors.ts'
import { sample } from '../../json.ts'
import { type MetadataRecord, metadataContext, newMetadataRecord } from '../model/record.ts'

const name = z.string()

// Checked when it was stored, and written here alone: its shape, and what a newer writer added is left out.
const storedLine = z.object({
  key: name,
  content: name,
  orderedAt: name,
  record: z.object({
    ...newMetadataRecord.shape,
    context: z.object({
      ...metadataContext.shape,
      environment: z.object({ cluster: name.optional(), workspace: name.optional(), tenant: name }),
    }),
    recordId: name,
    effectiveAt: name,
    storedAt: name,
  }),
})

/** A line of the log, and the content of a record's file. */
export type StoredLine = {
  readonly key: string
  readonly content: string
  /** When it was produced, never before that of the revision it corrects. */
  readonly orderedAt: string
  readonly record: MetadataRecord
}

export function writeLine(line: StoredLine): string {
  return `${JSON.stringify(line)}\n`
}

/** Throws PermanentError for what was not written by `writeLine`. */
export function readLine(text: string, where: string): StoredLine {
  const parsed = storedLine.safeParse(parse(text))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const at = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`
  throw new PermanentError(`${where}: expected a stored metadata record, got ${sample(text, 60)}${at}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
