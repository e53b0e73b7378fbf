import { z } from 'zod'
import { sample } from '../json.ts'

/** What the queues `land` and `curate` carry: a hint that there may be work. The truth is in Postgres. */
const message = z.strictObject({ v: z.literal(1), sourceIngestId: z.uuid() })

export type ParsedMessage =
  | { readonly ok: true; readonly sourceIngestId: string }
  /** One sentence: what was expected and what came. */
  | { readonly ok: false; readonly problem: string }

export function formatMessage(sourceIngestId: string): string {
  return JSON.stringify({ v: 1, sourceIngestId })
}

/** `body` as the host hands it over: parsed where it was JSON, text where not. */
export function parseMessage(body: unknown): ParsedMessage {
  const result = message.safeParse(body)
  if (result.success) return { ok: true, sourceIngestId: result.data.sourceIngestId.toLowerCase() }
  const version = typeof body === 'object' && body !== null && 'v' in body ? (body as { v: unknown }).v : undefined
  if (version !== undefined && version !== 1) {
    // As JSON: the text "1" is not the number 1.
    const came = typeof version === 'string' ? JSON.stringify(version) : version
    return { ok: false, problem: `message: expected version 1, got ${sample(came, 40)}` }
  }
  return { ok: false, problem: `message: expected {"v":1,"sourceIngestId":"<uuid>"}, got ${sample(body)}` }
}
